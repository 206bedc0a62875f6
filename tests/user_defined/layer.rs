//! A tower layer of one's own around the invocation path.

use faas::core::{Error, ErrorKind, Invocation};
use faas::{CallError, Platform, Stack};
use tower::{BoxError, ServiceBuilder, ServiceExt};

use crate::{Asked, double, doubling, within};

#[tokio::test]
async fn it_sees_every_invocation_and_may_refuse() {
    let asked = Asked::default();
    let counted = asked.clone();
    let layer = tower::layer::layer_fn(move |inner: Stack| {
        let counted = counted.clone();
        let check = move |invocation: Invocation| {
            counted.again();
            match invocation.payload.to_json::<u64>() {
                Ok(13) => Err(BoxError::from(Error::permission_denied("invoke", "not 13"))),
                _ => Ok(invocation),
            }
        };
        ServiceBuilder::new()
            .filter(check)
            .service(inner)
            .map_err(|error| error)
    });
    let platform = doubling(Platform::builder().layer(layer)).await;
    assert_eq!(double(&platform, 4).await, 8);
    let error = within(platform.call::<_, u64>("double", &13)).await;
    let Err(CallError::Platform(error)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(asked.times(), 2);
}
