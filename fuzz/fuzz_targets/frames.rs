//! The frames of `faas-runtimes`: whatever a guest sends, in whatever pieces, is frames or garbage;
//! no more is kept than a frame and what came last; and frames are written as they were read.
#![no_main]

use bytes::BytesMut;
use faas_runtimes::framed::codec::{Decoder, FRAME_LIMIT, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let (mut decoder, mut written) = (Decoder::default(), BytesMut::new());
    let mut sent = 0;
    for piece in &pieces {
        sent += piece.len();
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.decode() {
                Ok(Some(frame)) => assert!(!encode(&frame, &mut written), "too long to be written"),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(decoder.buffer().len() < 4 + FRAME_LIMIT);
        assert!((1..=4 + FRAME_LIMIT).contains(&decoder.missing()));
        // Less by the frames of data that hold none: they are not written.
        assert!(written.len() + decoder.buffer().len() <= sent);
    }
});
