//! The component map: which of the fourteen components something provides, and a platform's own
//! row of the paper's Table 1.

use std::borrow::Cow;
use std::fmt;

use crate::table1::TABLE1;

/// The components of the SPEC-RG reference architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`title` documents each")]
pub enum Component {
    R1,
    R2,
    R3,
    R4,
    F1,
    F2,
    F3,
    F4,
    F5,
    F6,
    W1,
    W2,
    W3,
    W4,
}

impl Component {
    /// All of them, in the paper's order.
    pub const ALL: [Self; 14] = [
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::F1,
        Self::F2,
        Self::F3,
        Self::F4,
        Self::F5,
        Self::F6,
        Self::W1,
        Self::W2,
        Self::W3,
        Self::W4,
    ];

    /// The paper's name for it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::R1 => "Naming Service",
            Self::R2 => "Resource Manager",
            Self::R3 => "Resource Scheduler",
            Self::R4 => "Node Agent",
            Self::F1 => "Function Registry",
            Self::F2 => "Function Builder",
            Self::F3 => "Function Deployer",
            Self::F4 => "Function Instance",
            Self::F5 => "Function Router",
            Self::F6 => "Function Autoscaler",
            Self::W1 => "Workflow Registry",
            Self::W2 => "Workflow Engine",
            Self::W3 => "Workflow Scheduler",
            Self::W4 => "Workflow Execution Storage",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How a platform comes by a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Provision {
    /// It is its own (●).
    Provided,
    /// Somebody else's (◐): whose.
    Delegated(Cow<'static, str>),
    /// It has none (○).
    #[default]
    Absent,
    /// Nobody outside knows (—).
    Unknown,
}

impl Provision {
    /// The paper's sign for it.
    pub const fn sign(&self) -> char {
        match self {
            Self::Provided => '●',
            Self::Delegated(_) => '◐',
            Self::Absent => '○',
            Self::Unknown => '—',
        }
    }
}

/// How something describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The implementation's name, e.g. `ClusterManager`.
    pub name: Cow<'static, str>,
    /// What it provides or delegates.
    pub components: Vec<(Component, Provision)>,
}

impl Description {
    /// Something that is none of the fourteen components.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            components: Vec::new(),
        }
    }

    /// Adds a component that it provides.
    #[must_use]
    pub fn provides(mut self, component: Component) -> Self {
        self.components.push((component, Provision::Provided));
        self
    }

    /// Adds a component that it delegates to somebody else.
    #[must_use]
    pub fn delegates(mut self, component: Component, to: impl Into<Cow<'static, str>>) -> Self {
        self.components
            .push((component, Provision::Delegated(to.into())));
        self
    }
}

/// A platform's own row of Table 1; printed, it stands beside the ten platforms of that table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformMap {
    name: String,
    cells: Vec<(Component, Provision, Vec<Cow<'static, str>>)>,
}

impl PlatformMap {
    /// Joins the descriptions of a platform's parts. Where several provide one component, it is
    /// provided; the map names all of them.
    pub fn new(name: impl Into<String>, parts: impl IntoIterator<Item = Description>) -> Self {
        let mut cells: Vec<_> = Component::ALL
            .map(|c| (c, Provision::Absent, Vec::new()))
            .into();
        for part in parts {
            for (component, provision) in part.components {
                let (_, cell, names) = &mut cells[component as usize];
                if !matches!(cell, Provision::Provided) {
                    *cell = provision;
                }
                if !names.contains(&part.name) {
                    names.push(part.name.clone());
                }
            }
        }
        Self {
            name: name.into(),
            cells,
        }
    }

    /// How the platform comes by `component`.
    pub fn provision(&self, component: Component) -> &Provision {
        &self.cells[component as usize].1
    }

    /// The names of those that provide `component`.
    pub fn providers(&self, component: Component) -> &[Cow<'static, str>] {
        &self.cells[component as usize].2
    }
}

impl fmt::Display for PlatformMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = TABLE1
            .iter()
            .map(|row| row.name.chars().count())
            .max()
            .unwrap_or(0);
        let width = width.max(self.name.chars().count());
        write!(f, "{:width$}", "platform")?;
        Component::ALL
            .iter()
            .try_for_each(|component| write!(f, "  {component}"))?;
        write!(f, "\n{:width$}", self.name)?;
        self.cells
            .iter()
            .try_for_each(|(_, provision, _)| write!(f, "  {} ", provision.sign()))?;
        for row in &TABLE1 {
            write!(f, "\n{:width$}", row.name)?;
            row.signs().try_for_each(|sign| write!(f, "  {sign} "))?;
        }
        f.write_str("\n● provided  ◐ delegated  ○ absent  — unknown\n")?;
        for (component, provision, names) in &self.cells {
            let title = component.title();
            let by = match provision {
                Provision::Delegated(to) => format!("{} → {to}", names.join(", ")),
                _ if names.is_empty() => "none".into(),
                _ => names.join(", "),
            };
            write!(f, "\n{component} {title:26} {by}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_stands_beside_the_ten() {
        let manager = Description::new("ClusterManager").provides(Component::R2);
        let cloud = Description::new("Kubernetes").delegates(Component::R3, "kube-scheduler");
        let map = PlatformMap::new("mine", [manager, cloud]);
        let text = map.to_string();
        assert!(text.contains("mine"));
        assert!(text.contains("Apache OpenWhisk"));
        assert!(
            text.contains("R3 Resource Scheduler         Kubernetes → kube-scheduler"),
            "{text}"
        );
        assert_eq!(map.provision(Component::R2), &Provision::Provided);
        assert_eq!(map.provision(Component::W4), &Provision::Absent);
    }
}
