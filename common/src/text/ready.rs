//! What a reader that makes bytes of another's has ready to hand out.

/// Bytes that were made, and how many of them were handed out.
#[derive(Debug, Default)]
pub struct Ready {
    bytes: Vec<u8>,
    handed: usize,
}

impl Ready {
    /// Everything was handed out.
    pub fn is_spent(&self) -> bool {
        self.handed == self.bytes.len()
    }

    /// Room for what is made next. What was not handed out is gone.
    pub fn renew(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.handed = 0;
        &mut self.bytes
    }

    /// Hands out what there is and there is room for; the number of bytes.
    pub fn hand(&mut self, out: &mut [u8]) -> usize {
        let ready = self.bytes.get(self.handed..).unwrap_or_default();
        let n = ready.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), ready.get(..n)) {
            to.copy_from_slice(from);
        }
        self.handed += n;
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_handed_out_once() {
        let mut ready = Ready::default();
        assert!(ready.is_spent());
        ready.renew().extend_from_slice(b"abcde");
        let mut out = [0; 3];
        assert_eq!((ready.hand(&mut out), &out), (3, b"abc"));
        assert_eq!((ready.hand(&mut out), &out[..2], ready.is_spent()), (2, &b"de"[..], true));
        assert_eq!(ready.hand(&mut out), 0);
    }
}
