//! What the engine says of a container, in the platform's words.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummaryStateEnum,
};
use faas_resource::agent::{ExitCause, SandboxPhase, SandboxState};
use faas_resource::endpoint::Address;

use crate::container::Reached;
use crate::mounts::SOCKET;

/// A code above this says which signal ended the process; so do shells (and they, too, cannot be told
/// from a program that just exits with it).
const SIGNALLED: i64 = 128;
const LAST_SIGNAL: i64 = 64;

/// Where a container stands; `None` while it is being removed.
pub(crate) fn phase(container: &ContainerInspectResponse) -> Option<SandboxPhase> {
    let state = container.state.as_ref()?;
    let phase = match state.status? {
        ContainerStateStatusEnum::CREATED => SandboxPhase::In(SandboxState::Created),
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::RESTARTING => {
            SandboxPhase::In(SandboxState::Running)
        }
        ContainerStateStatusEnum::PAUSED => SandboxPhase::In(SandboxState::Paused),
        ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD => {
            SandboxPhase::Exited(cause(state))
        }
        _ => return None,
    };
    Some(phase)
}

/// Whether a list of containers says of one more than is known: it does not say why one has ended, or
/// where it is reached.
pub(crate) fn is_news(listed: Option<ContainerSummaryStateEnum>, known: &SandboxPhase) -> bool {
    let SandboxPhase::In(known) = known else {
        // An end stays an end.
        return false;
    };
    let listed = match listed {
        Some(ContainerSummaryStateEnum::CREATED) => SandboxState::Created,
        Some(ContainerSummaryStateEnum::RUNNING) => SandboxState::Running,
        Some(ContainerSummaryStateEnum::PAUSED) => SandboxState::Paused,
        _ => return true,
    };
    listed != *known
}

fn cause(state: &ContainerState) -> ExitCause {
    match (state.oom_killed, state.exit_code) {
        (Some(true), _) => ExitCause::OutOfMemory,
        (_, Some(code)) if code > SIGNALLED && code <= SIGNALLED + LAST_SIGNAL => {
            // At most 64.
            ExitCause::Signal(i32::try_from(code - SIGNALLED).unwrap_or(i32::MAX))
        }
        (_, Some(code)) => i32::try_from(code).map_or(ExitCause::Unknown, ExitCause::Code),
        (_, None) => ExitCause::Unknown,
    }
}

/// Where a container that runs is reached; `None` if the engine gave it no address (yet).
pub(crate) fn address(
    container: Option<&ContainerInspectResponse>,
    reached: &Reached,
    directory: Option<&Path>,
) -> Option<Address> {
    match reached {
        Reached::Hook => Some(Address::Hook),
        Reached::Socket => Some(Address::Unix(directory?.join(SOCKET))),
        Reached::HostPort(port) => Some(tcp(Ipv4Addr::LOCALHOST.into(), *port)),
        Reached::Port(port) => {
            let networks = container?.network_settings.as_ref()?.networks.as_ref()?;
            let addresses = networks
                .values()
                .filter_map(|network| network.ip_address.as_deref());
            let address = addresses.filter_map(|text| text.parse().ok()).next()?;
            Some(tcp(address, *port))
        }
    }
}

fn tcp(address: IpAddr, port: u16) -> Address {
    Address::Tcp(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i64, oom: bool) -> Option<SandboxPhase> {
        let state = ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            exit_code: Some(code),
            oom_killed: Some(oom),
            ..ContainerState::default()
        };
        phase(&ContainerInspectResponse {
            state: Some(state),
            ..ContainerInspectResponse::default()
        })
    }

    #[test]
    fn ends_have_causes() {
        let ends = [
            (exited(3, false), ExitCause::Code(3)),
            (exited(128, false), ExitCause::Code(128)),
            (exited(137, false), ExitCause::Signal(9)),
            (exited(137, true), ExitCause::OutOfMemory),
            (exited(255, false), ExitCause::Code(255)),
            (exited(i64::MAX, false), ExitCause::Unknown),
        ];
        for (phase, cause) in ends {
            assert_eq!(phase, Some(SandboxPhase::Exited(cause)));
        }
    }

    #[test]
    fn what_a_list_says_is_news_unless_it_is_known_or_ended() {
        let paused = SandboxPhase::In(SandboxState::Paused);
        let ended = SandboxPhase::Exited(ExitCause::Code(0));
        assert!(!is_news(Some(ContainerSummaryStateEnum::PAUSED), &paused));
        for other in [
            None,
            Some(ContainerSummaryStateEnum::RUNNING),
            Some(ContainerSummaryStateEnum::EXITED),
        ] {
            assert!(is_news(other, &paused), "{other:?}");
            assert!(!is_news(other, &ended), "{other:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_nowhere() {
        assert_eq!(phase(&ContainerInspectResponse::default()), None);
        assert_eq!(address(None, &Reached::Port(80), None), None);
        assert_eq!(address(None, &Reached::Socket, None), None);
    }
}
