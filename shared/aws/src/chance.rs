//! Randomness for what must differ and need not be secret to anybody: tokens of calls, stamps, pauses.

use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use sameroom_engine::ports::Unavailable;

/// 128 bits as text.
pub(crate) fn token() -> Result<String, Unavailable> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(HEXLOWER.encode(&bytes))
}

/// 32 bits.
pub(crate) fn number() -> Result<u32, Unavailable> {
    let mut bytes = [0; 4];
    fill(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Any part of a pause, so that those who wait don't all come back at once.
pub(crate) fn part_of(pause: Duration) -> Result<Duration, Unavailable> {
    Ok(pause.mul_f64(f64::from(number()?) / f64::from(u32::MAX)))
}

fn fill(bytes: &mut [u8]) -> Result<(), Unavailable> {
    rand::fill(bytes).map_err(|_| Unavailable::new("nothing could be written: the system gave no random numbers"))
}
