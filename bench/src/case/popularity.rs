//! Which of many files is asked for: a few again and again, most of them seldom.

/// Requests before the order begins again.
pub(super) const REQUESTS: usize = 16_384;

/// Numbers below `files`, drawn by Zipf's law with exponent 1: the n-th most popular is asked for n times less often than
/// the first. Popularity has nothing to do with the number, nor with the length of the file.
pub(super) fn zipf(files: usize, draws: usize, random: &mut fastrand::Rng) -> Vec<u32> {
    let mut by_rank: Vec<u32> = (0..files as u32).collect();
    random.shuffle(&mut by_rank);
    let mut cumulative = Vec::with_capacity(files);
    let mut sum = 0.0;
    for rank in 1..=files {
        sum += 1.0 / rank as f64;
        cumulative.push(sum);
    }
    let mut draw = || {
        let at = random.f64() * sum;
        by_rank[cumulative.partition_point(|&sum| sum <= at).min(files - 1)]
    };
    (0..draws).map(|_| draw()).collect()
}

/// A length between `least` and `most` bytes, each order of magnitude as likely as the next.
pub(super) fn length(least: u64, most: u64, random: &mut fastrand::Rng) -> u64 {
    let (least, most) = (least as f64, most as f64);
    (least * (most / least).powf(random.f64())) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenth_gets_most_requests() {
        let mut random = fastrand::Rng::with_seed(1);
        let order = zipf(1000, 100_000, &mut random);
        let mut counts = vec![0_u32; 1000];
        for &number in &order {
            counts[number as usize] += 1;
        }
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let share = f64::from(counts[..100].iter().sum::<u32>()) / 100_000.0;
        assert!((0.6..0.8).contains(&share), "{share}");
    }

    #[test]
    fn lengths_keep_within_their_bounds() {
        let mut random = fastrand::Rng::with_seed(2);
        let lengths: Vec<u64> = (0..1000).map(|_| length(100, 10_000, &mut random)).collect();
        assert!(lengths.iter().all(|length| (100..=10_000).contains(length)));
        let small = lengths.iter().filter(|&&length| length < 1000).count();
        assert!((400..600).contains(&small), "{small}");
    }
}
