//! Epochs.

use super::*;

async fn epochs(subject: &Subject) -> Vec<crate::execution_store::EpochState> {
    subject.epochs().list().await.expect("epochs")
}

/// "opening an epoch as exclusive voids all earlier ones."
pub async fn exclusive_voids(subject: Subject) {
    let old = open(&subject).await;
    let new = subject.epochs().open(OpenEpoch::exclusive()).await;
    let new = new.expect("an epoch");
    refused(&subject, transition(old, 1), ErrorKind::PermissionDenied).await;
    append(&subject, transition(new.epoch, 1)).await;
    assert_eq!(epochs(&subject).await, [new]);
}

/// "an epoch's number is greater than that of every earlier one."
pub async fn epochs_rise(subject: Subject) {
    let first = open(&subject).await;
    let second = open(&subject).await;
    let voided = subject.epochs().void(second).await;
    voided.expect("it can be voided");
    let third = open(&subject).await;
    assert!(
        first < second && second < third,
        "{first:?} {second:?} {third:?}"
    );
    let live = epochs(&subject).await;
    let live: Vec<_> = live.iter().map(|state| state.epoch).collect();
    assert_eq!(live, [first, third]);
}

/// "each renewal raises the epoch's count; that of a void epoch is `PermissionDenied`."
pub async fn renewals_count(subject: Subject) {
    let epoch = open(&subject).await;
    for expected in 1..=3 {
        let state = subject.epochs().renew(epoch).await.expect("it is not void");
        assert_eq!(state.renewals, expected);
    }
    assert_eq!(epochs(&subject).await[0].renewals, 3);
    let voided = subject.epochs().void(epoch).await;
    voided.expect("it can be voided");
    let error = subject.epochs().renew(epoch).await.expect_err("it is void");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}
