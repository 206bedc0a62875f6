//! Table 1 of the SPEC-RG paper: ten platforms, mapped to the fourteen components.

/// One platform of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The paper's signs for R1…R4, F1…F6, W1…W4: ● yes, ○ no, ◐ delegated, — unknown.
    cells: &'static str,
}

impl Row {
    /// The signs, in the order of [`Component::ALL`](crate::Component::ALL).
    pub fn signs(&self) -> impl Iterator<Item = char> {
        self.cells.chars()
    }
}

/// The ten platforms, in the paper's order.
pub const TABLE1: [Row; 10] = [
    Row {
        name: "Kubernetes",
        cells: "●●●●○○○○○○○○○○",
    },
    Row {
        name: "Marathon (Apache Mesos)",
        cells: "●●●●○○○○○○○○○○",
    },
    Row {
        name: "AWS Lambda",
        cells: "——————————○○○○",
    },
    Row {
        name: "Fission",
        cells: "◐◐◐◐●●●●●●○○○○",
    },
    Row {
        name: "Knative Serving",
        cells: "◐◐◐◐●◐—●◐●○○○○",
    },
    Row {
        name: "Apache OpenWhisk",
        cells: "◐◐◐◐●●●●●●○○○○",
    },
    Row {
        name: "Apache Airflow",
        cells: "◐◐◐◐○○●●○●●●●●",
    },
    Row {
        name: "AWS Step Functions",
        cells: "◐◐◐◐◐◐◐◐◐◐————",
    },
    Row {
        name: "Azure Durable Functions",
        cells: "◐◐◐◐◐◐◐◐◐◐—●●●",
    },
    Row {
        name: "Fission Workflows",
        cells: "◐◐◐◐◐◐◐◐◐◐●●●●",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_fourteen_cells() {
        for row in TABLE1 {
            assert_eq!(row.signs().count(), 14, "{}", row.name);
        }
    }
}
