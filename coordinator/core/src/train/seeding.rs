//! From the candidates of k-means|| to the first centres: weighted k-means++ (Arthur and Vassilvitskii 2007), the best of a few
//! tries, and a few steps of Lloyd's.

use super::random::Random;

const TRIES: u64 = 5;
const STEPS: usize = 20;

pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// `clusters` of the points, or fewer if there are no more different ones with a weight.
pub fn choose(points: &[Vec<f64>], weights: &[f64], clusters: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut best: Option<(f64, Vec<Vec<f64>>)> = None;
    for attempt in 0..TRIES {
        let mut random = Random::new(seed.wrapping_mul(TRIES).wrapping_add(attempt));
        let centers = improve(points, weights, plus_plus(points, weights, clusters, &mut random));
        let cost = assign(points, &centers).zip(weights).map(|((_, d), w)| d * w).sum::<f64>();
        if best.as_ref().is_none_or(|(least, kept)| centers.len() > kept.len() || cost < *least) {
            best = Some((cost, centers));
        }
    }
    best.map(|(_, centers)| centers).unwrap_or_default()
}

fn plus_plus(points: &[Vec<f64>], weights: &[f64], clusters: usize, random: &mut Random) -> Vec<Vec<f64>> {
    let mut centers: Vec<Vec<f64>> = Vec::with_capacity(clusters);
    let mut nearest = vec![1.0; points.len()];
    while centers.len() < clusters {
        let chances: Vec<f64> = nearest.iter().zip(weights).map(|(d, w)| d * w).collect();
        let Some(chosen) = random.pick(&chances) else { break };
        let first = centers.is_empty();
        for (least, point) in nearest.iter_mut().zip(points) {
            let d = distance(point, &points[chosen]);
            *least = if first { d } else { least.min(d) };
        }
        centers.push(points[chosen].clone());
    }
    centers
}

/// Of each point its nearest centre, the first of several, and the squared distance.
fn assign<'a>(points: &'a [Vec<f64>], centers: &'a [Vec<f64>]) -> impl Iterator<Item = (usize, f64)> + 'a {
    points.iter().map(|point| {
        let mut best = (0, f64::INFINITY);
        for (n, center) in centers.iter().enumerate() {
            let d = distance(point, center);
            if d < best.1 {
                best = (n, d);
            }
        }
        best
    })
}

fn improve(points: &[Vec<f64>], weights: &[f64], mut centers: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for _ in 0..STEPS {
        let mut sums: Vec<(f64, Vec<f64>)> = centers.iter().map(|c| (0.0, vec![0.0; c.len()])).collect();
        for (((n, _), point), weight) in assign(points, &centers).zip(points).zip(weights) {
            let Some((total, sum)) = sums.get_mut(n) else { continue };
            *total += weight;
            sum.iter_mut().zip(point).for_each(|(s, x)| *s += weight * x);
        }
        let mut moved = false;
        for (center, (total, sum)) in centers.iter_mut().zip(&sums).filter(|(_, (total, _))| *total > 0.0) {
            for (c, s) in center.iter_mut().zip(sum) {
                moved |= *c != s / total;
                *c = s / total;
            }
        }
        if !moved {
            break;
        }
    }
    centers
}
