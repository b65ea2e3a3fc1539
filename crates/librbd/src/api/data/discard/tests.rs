use super::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn plain() -> Layout {
    Layout { object_size: 4 * MIB, stripe_unit: 4 * MIB, stripe_count: 1 }
}

#[test]
fn plain_images_round_inwards_to_the_granularity() {
    let rule = DiscardRule::new(true, 64 * KIB, plain());
    assert_eq!(rule.ranges(0, 256), []);
    assert_eq!(rule.ranges(1, 128 * KIB), [(64 * KIB, 64 * KIB)]);
    assert_eq!(rule.ranges(0, 4 * MIB), [(0, 4 * MIB)]);
    assert_eq!(rule.ranges(MIB, 10 * MIB + 5), [(MIB, 10 * MIB)]);
}

#[test]
fn without_the_rule_every_byte_is_discarded() {
    let rule = DiscardRule::new(false, 64 * KIB, plain());
    assert_eq!(rule.ranges(3, 256), [(3, 256)]);
    assert_eq!(rule.ranges(3, 0), []);
}

#[test]
fn the_granularity_is_at_most_an_object() {
    let layout = Layout { object_size: 32 * KIB, stripe_unit: 32 * KIB, stripe_count: 1 };
    let rule = DiscardRule::new(true, 64 * KIB, layout);
    assert_eq!(rule.ranges(KIB, 64 * KIB), [(32 * KIB, 32 * KIB)]);
}

/// Straight from the definition: which bytes of which object a request covers, rounded inwards in each object.
fn model(layout: Layout, granularity: u64, offset: u64, len: u64) -> Vec<bool> {
    let size = layout.period() * 2;
    let mut covered = vec![Vec::<u64>::new(); (size / layout.object_size) as usize];
    for byte in offset..offset + len {
        let (object, within, _) = layout.locate(byte);
        covered[object as usize].push(within);
    }
    let mut discarded = vec![false; size as usize];
    // The two sets of stripes are separate requests to their objects.
    for (object, bytes) in covered.iter().enumerate() {
        let (Some(first), Some(last)) = (bytes.iter().min(), bytes.iter().max()) else { continue };
        let from = first.next_multiple_of(granularity);
        let end = last + 1;
        let to = if end == layout.object_size { end } else { end / granularity * granularity };
        for within in from..to.max(from) {
            discarded[layout.address(object as u64, within) as usize] = true;
        }
    }
    discarded
}

#[test]
fn striped_images_round_inwards_in_each_object() {
    let layout = Layout { object_size: 64, stripe_unit: 8, stripe_count: 3 };
    for granularity in [16, 24, 64] {
        let rule = DiscardRule::new(true, granularity, layout);
        for offset in 0..200 {
            for len in [1, 8, 47, 100, 180] {
                let mut got = vec![false; (layout.period() * 2) as usize];
                for (start, bytes) in rule.ranges(offset, len) {
                    got[start as usize..(start + bytes) as usize].fill(true);
                }
                assert_eq!(got, model(layout, granularity, offset, len), "{granularity} {offset}~{len}");
            }
        }
    }
}
