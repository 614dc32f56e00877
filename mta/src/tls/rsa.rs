//! RSASSA-PSS with a modulus under 2048 bits, of which a handshake may be signed in TLS 1.3 and which no library here takes.
//!
//! Runs in the receiver and in the sender. Such a key never verifies ([`super::path`] calls it weak); that its holder has
//! it is checked all the same, so that nobody is shown as the holder of somebody else's certificate. Only public numbers are in here,
//! so no time is constant.

use aws_lc_rs::digest;

use super::certificate::elements;
use super::certificate::only;
use super::signature::{Hash, Invalid};

/// Largest public exponent, which is the usual one; larger ones make a verification dear and no signature better.
const MAX_EXPONENT: &[u8] = &[1, 0, 1];

/// Modulus and exponent of an RSAPublicKey, without leading zeros.
pub(super) fn numbers(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let numbers = elements(only(key).ok()?.data()).ok()?;
    let [modulus, exponent] = numbers.as_slice() else { return None };
    Some((trimmed(modulus.data()), trimmed(exponent.data())))
}

/// How many bits a number has that has no leading zeros.
pub(super) fn bits(number: &[u8]) -> usize {
    let spare = number.first().map_or(0, |first| first.leading_zeros());
    number.len() * 8 - spare as usize
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Whether `signature` is that key's on `message` (RFC 8017 section 8.1.2, the salt as long as the hash).
pub(super) fn verify_pss(
    key: &[u8],
    hash: Hash,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Invalid> {
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
        _ => return Err(Invalid),
    };
    let (modulus, exponent) = numbers(key).ok_or(Invalid)?;
    let modulus_bits = bits(modulus);
    let fits = (512..2048).contains(&modulus_bits)
        && (exponent.len(), exponent) <= (MAX_EXPONENT.len(), MAX_EXPONENT);
    if !fits || signature.len() != modulus.len() || signature >= modulus {
        return Err(Invalid);
    }
    let encoded = power(signature, exponent, modulus);
    // A modulus of 8n + 1 bits leaves a whole byte over.
    let length = (modulus_bits - 1).div_ceil(8);
    let encoded = encoded.get(encoded.len() - length..).ok_or(Invalid)?;
    is_encoding(encoded, modulus_bits - 1, algorithm, message).then_some(()).ok_or(Invalid)
}

/// EMSA-PSS-VERIFY, RFC 8017 section 9.1.2.
fn is_encoding(
    encoded: &[u8],
    bits: usize,
    algorithm: &'static digest::Algorithm,
    message: &[u8],
) -> bool {
    let hashed = algorithm.output_len();
    let Some((body, [0xbc])) = encoded.split_last_chunk::<1>() else { return false };
    let Some(masked_length) = body.len().checked_sub(hashed) else { return false };
    let (masked, claim) = body.split_at(masked_length);
    let mut block = masked.to_vec();
    for (byte, mask) in block.iter_mut().zip(mask(claim, masked_length, algorithm)) {
        *byte ^= mask;
    }
    let unused = encoded.len() * 8 - bits;
    let top = 0xff_u8.checked_shr(unused as u32).unwrap_or(0);
    match (block.first_mut(), masked.first()) {
        (Some(first), Some(sent)) if sent & !top == 0 => *first &= top,
        _ => return false,
    }
    let Some(padding) = masked_length.checked_sub(hashed + 1) else { return false };
    let (zeros, rest) = block.split_at(padding);
    let [0x01, salt @ ..] = rest else { return false };
    if zeros.iter().any(|byte| *byte != 0) {
        return false;
    }
    let mut context = digest::Context::new(algorithm);
    context.update(&[0; 8]);
    context.update(digest::digest(algorithm, message).as_ref());
    context.update(salt);
    context.finish().as_ref() == claim
}

/// MGF1.
fn mask(seed: &[u8], length: usize, algorithm: &'static digest::Algorithm) -> Vec<u8> {
    let mut made = Vec::new();
    let mut counter = 0_u32;
    while made.len() < length {
        let mut context = digest::Context::new(algorithm);
        context.update(seed);
        context.update(&counter.to_be_bytes());
        made.extend_from_slice(context.finish().as_ref());
        counter += 1;
    }
    made.truncate(length);
    made
}

/// `base` to the power of `exponent`, modulo `modulus`; as many bytes as that has.
fn power(base: &[u8], exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let length = modulus.len();
    let (base, modulus) = (digits(base), digits(modulus));
    let mut result = digits(&[1]);
    result.resize(modulus.len(), 0);
    for byte in exponent {
        for bit in (0..8).rev() {
            result = product(&result, &result, &modulus);
            if byte >> bit & 1 == 1 {
                result = product(&result, &base, &modulus);
            }
        }
    }
    let mut bytes: Vec<u8> = result.iter().flat_map(|digit| digit.to_le_bytes()).collect();
    bytes.truncate(length);
    bytes.reverse();
    bytes
}

/// A number's digits, the lowest one first.
fn digits(number: &[u8]) -> Vec<u64> {
    let digit = |bytes: &[u8]| bytes.iter().fold(0, |digit, byte| digit << 8 | u64::from(*byte));
    number.rchunks(8).map(digit).collect()
}

/// `left` times `right`, modulo `modulus`, bit by bit: all three equally long, the factors smaller.
fn product(left: &[u64], right: &[u64], modulus: &[u64]) -> Vec<u64> {
    let mut sum = vec![0; modulus.len()];
    for digit in left.iter().rev() {
        for bit in (0..64).rev() {
            let same = sum.clone();
            add(&same, &mut sum, modulus);
            if digit >> bit & 1 == 1 {
                add(right, &mut sum, modulus);
            }
        }
    }
    sum
}

/// Adds `term` to `sum`, modulo `modulus`.
fn add(term: &[u64], sum: &mut [u64], modulus: &[u64]) {
    let mut carry = false;
    for (digit, more) in sum.iter_mut().zip(term) {
        let (total, first) = digit.overflowing_add(*more);
        let (total, second) = total.overflowing_add(u64::from(carry));
        (*digit, carry) = (total, first || second);
    }
    if carry || sum.iter().rev().ge(modulus.iter().rev()) {
        let mut borrow = false;
        for (digit, less) in sum.iter_mut().zip(modulus) {
            let (total, first) = digit.overflowing_sub(*less);
            let (total, second) = total.overflowing_sub(u64::from(borrow));
            (*digit, borrow) = (total, first || second);
        }
    }
}
