//! Exponential and logarithm for the training kernels: branch-free, so that loops over rows become vector code, and made of
//! basic operations in a fixed order, so that every machine computes the same bits.
//!
//! Approximations are those of FreeBSD's msun (`e_exp.c`, `e_log.c`), whose coefficients `libm` has as well; errors stay
//! below 1.5 units in the last place over the ranges named here (the tests compare with `libm`).

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 in two parts: a small whole number times the first is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Adding it rounds to a whole number, which is then in the low bits: `1.5 * 2^52`.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// `exp(-LIMIT)` is about the smallest normal number; no sum of losses or probabilities sees what lies below.
const LIMIT: f64 = 708.0;
const EXP: [f64; 5] = [
    1.666_666_666_666_660_2e-1,
    -2.777_777_777_701_559_3e-3,
    6.613_756_321_437_934e-5,
    -1.653_390_220_546_525_2e-6,
    4.138_136_797_057_238_5e-8,
];
const LOG: [f64; 7] = [
    6.666_666_666_666_735e-1,
    3.999_999_999_940_942e-1,
    2.857_142_874_366_239e-1,
    2.222_219_843_214_978_4e-1,
    1.818_357_216_161_805e-1,
    1.531_383_769_920_937_3e-1,
    1.479_819_860_511_658_6e-1,
];

/// `exp(-a)` for `a >= 0`; beyond 708, where it would vanish, `exp(-708)`.
#[inline(always)]
pub fn exp_neg(a: f64) -> f64 {
    let x = -(if a < LIMIT { a } else { LIMIT });
    let shifted = x * LOG2_E + ROUNDER;
    let k = shifted - ROUNDER;
    let high = x - k * LN_2_HIGH;
    let low = k * LN_2_LOW;
    let r = high - low;
    let t = r * r;
    let c = r - t * (EXP[0] + t * (EXP[1] + t * (EXP[2] + t * (EXP[3] + t * EXP[4]))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    // The low bits of `shifted` are k; 2^k is at least 2^-1022.
    y * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

/// `log(1 + e)` for `e` in `0..=1`.
#[inline(always)]
pub fn log1p_unit(e: f64) -> f64 {
    // 1 + e is 1 + f or 2 (1 + f), so that 1 + f lies between the roots of 1/2 and 2.
    let high = e > 0.414_213_562_373_095_05;
    let f = if high { (e - 1.0) * 0.5 } else { e };
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * (LOG[0] + z * (LOG[1] + z * (LOG[2] + z * (LOG[3] + z * (LOG[4] + z * (LOG[5] + z * LOG[6]))))));
    let half_square = 0.5 * f * f;
    let log = f - (half_square - s * (half_square + r));
    (if high { std::f64::consts::LN_2 } else { 0.0 }) + log
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(a: f64, b: f64) -> u64 {
        a.to_bits().abs_diff(b.to_bits())
    }

    #[test]
    fn exponentials_agree_with_libm() {
        let mut worst = 0;
        for n in 0..200_000u32 {
            let a = f64::from(n) * 0.003_54;
            worst = worst.max(ulps(exp_neg(a), libm::exp(-a.min(708.0))));
            let small = a * 1e-6;
            worst = worst.max(ulps(exp_neg(small), libm::exp(-small)));
        }
        assert!(worst <= 1, "{worst} units in the last place");
        assert_eq!(exp_neg(0.0), 1.0);
        assert!(exp_neg(f64::INFINITY) < 1e-300 && exp_neg(1e9) > 0.0);
    }

    #[test]
    fn logarithms_agree_with_libm() {
        let mut worst = 0;
        for n in 0..=200_000u32 {
            let e = f64::from(n) / 200_000.0;
            worst = worst.max(ulps(log1p_unit(e), libm::log1p(e)));
            let tiny = libm::exp(-f64::from(n) * 0.003);
            worst = worst.max(ulps(log1p_unit(tiny), libm::log1p(tiny)));
        }
        assert!(worst <= 2, "{worst} units in the last place");
        assert_eq!(log1p_unit(0.0), 0.0);
    }
}
