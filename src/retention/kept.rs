//! What keeps a point: the rules of the policy, and the guards that no policy can turn off.
//!
//! Every reason is collected, not only the first. Tombstones play no part here: a point that is wanted is wanted, marked or not, so
//! carrying a verdict out changes none of this. This file does not look at what would go.

use std::mem::discriminant;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::calendar::Rule;
use super::facts::{Damage, PointFacts};
use super::needs::Needs;
use super::policy::Policy;
use super::reason::Reason;
use crate::quantity::Duration;
use crate::store::manifest::Level;

/// A moment later by a length of time; the last one there is where it would be later still.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by.std()).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// For each of the points, which come newest first, why it is kept; nothing where it may go.
pub(super) fn reasons(points: &[&PointFacts], needs: &Needs, policy: &Policy, now: Timestamp, zone: &TimeZone) -> Vec<Vec<Reason>> {
    let mut kept = Kept { points, usable: usable(points, policy, now), reasons: vec![Vec::new(); points.len()] };
    kept.rules(policy, now, zone);
    kept.guards(policy);
    kept.protections(policy, now);
    let needed = needs.below(|place| !kept.reasons[place].is_empty());
    for (place, by) in needed.into_iter().enumerate() {
        kept.reasons[place].extend(by.map(|by| Reason::NeededBy { run: points[by].run.clone() }));
    }
    kept.reasons
}

/// The points that count: readable, and not from so far in the future that a clock must be wrong. Otherwise a host with a wrong
/// clock would fill every slot of every rule.
fn usable(points: &[&PointFacts], policy: &Policy, now: Timestamp) -> Vec<usize> {
    let latest = later(now, policy.clock_skew);
    (0..points.len()).filter(|place| points[*place].level.is_some() && points[*place].taken <= latest).collect()
}

struct Kept<'a> {
    points: &'a [&'a PointFacts],
    usable: Vec<usize>,
    reasons: Vec<Vec<Reason>>,
}

impl Kept<'_> {
    fn rules(&mut self, policy: &Policy, now: Timestamp, zone: &TimeZone) {
        // What is in doubt is kept for that.
        let judged: Vec<usize> = self.usable.iter().copied().filter(|place| self.points[*place].doubt.is_none()).collect();
        let local: Vec<(usize, Zoned)> = judged.iter().map(|place| (*place, self.points[*place].taken.to_zoned(zone.clone()))).collect();
        for rule in policy.keep.rules() {
            match (rule, policy.keep.most(rule)) {
                (Rule::Within, _) => self.within(policy.keep.within.unwrap_or(Duration::seconds(0)), &judged, now),
                (_, most) => self.slots(rule, most.unwrap_or(0), &local),
            }
        }
    }

    /// The newest point of each period, so many periods that have one; for `last`, each point is a period of its own. Points whose content
    /// was found wrong stand for no period and are not counted, so that no other goes because of them; where a period has no better one,
    /// the newest of them stays.
    fn slots(&mut self, rule: Rule, most: u32, local: &[(usize, Zoned)]) {
        let mut number = 0;
        let same =
            |(_, one): &(usize, Zoned), (_, other): &(usize, Zoned)| rule.period(one).is_some_and(|own| rule.period(other) == Some(own));
        for period in local.chunk_by(same) {
            if number == most {
                break;
            }
            let newest = |worth: &dyn Fn(Option<Damage>) -> bool| period.iter().find(|(place, _)| worth(self.points[*place].damage));
            let (sound, suspect) = (newest(&|damage| damage.is_none()), newest(&|damage| damage == Some(Damage::Elsewhere)));
            // Damaged elsewhere, the copy here may be good: it stays as it would, beside the one that stands for the period.
            let newer = suspect.filter(|(place, _)| sound.is_none_or(|(sound, _)| place < sound));
            let spare = newer.or_else(|| period.first().filter(|_| sound.is_none()));
            let name = |at: &Zoned| if rule.period(at).is_some() { rule.name(at) } else { String::new() };
            number += u32::from(sound.is_some());
            let counted = sound.map(|(place, at)| (*place, Reason::Slot { rule, number, of: most, period: name(at) }));
            let uncounted = spare
                .map(|(place, at)| (*place, Reason::Uncounted { rule, period: if sound.is_none() { name(at) } else { String::new() } }));
            for (place, reason) in counted.into_iter().chain(uncounted) {
                self.reasons[place].push(reason);
            }
        }
    }

    /// Counted from the newest point that is sound, as restic and rustic do, so that where backups stop, time alone takes nothing away; and
    /// never from the future. Where none is sound, all are within.
    fn within(&mut self, within: Duration, judged: &[usize], now: Timestamp) {
        let newest = judged.iter().find(|place| self.points[**place].damage.is_none()).map(|place| self.points[*place].taken.min(now));
        for place in judged {
            match newest {
                Some(newest) if later(self.points[*place].taken, within) >= newest => self.reasons[*place].push(Reason::Within { within }),
                Some(_) => {}
                None => self.reasons[*place].push(Reason::Uncounted { rule: Rule::Within, period: String::new() }),
            }
        }
    }

    /// What stays though no rule keeps it: the newest point, the newest proven one, and the newest that were restored. Of points closer
    /// together than clocks may differ, each may be the newest. What is in doubt or damaged is kept for no more than that, and stands for
    /// no older one.
    fn guards(&mut self, policy: &Policy) {
        let newest = self.newest(self.usable.iter().copied(), policy.clock_skew).map(|place| (place, Reason::Newest));
        let mut found: Vec<(usize, Reason)> = newest.collect();
        let sound: Vec<usize> = self.usable.iter().copied().filter(|place| is_sound(self.points[*place])).collect();
        let of_sound =
            self.newest(sound.iter().copied(), policy.clock_skew).filter(|place| found.iter().all(|(newest, _)| newest != place));
        let of_sound: Vec<(usize, Reason)> = of_sound.map(|place| (place, Reason::NewestSound)).collect();
        found.extend(of_sound);
        // By what this store knows itself, for here the copy may be damaged that is proven elsewhere, and by what all know together.
        for places in [&self.usable, &sound] {
            found.extend(self.proofs(policy, places, own));
            found.extend(self.proofs(policy, places, |point| own(point).max(point.elsewhere)));
        }
        for (place, reason) in found {
            let had = self.reasons[place].iter().any(|had| discriminant(had) == discriminant(&reason));
            self.reasons[place].extend((!had).then_some(reason));
        }
    }

    /// The newest proven point and the newest restored ones of these, by some knowledge of their levels.
    fn proofs(&self, policy: &Policy, places: &[usize], level: impl Fn(&PointFacts) -> Option<Level>) -> Vec<(usize, Reason)> {
        let level = |place: &usize| Some(self.points[*place]).filter(|point| point.doubt.is_none()).and_then(&level);
        let proven = places.iter().copied().filter(|place| level(place) >= Some(Level::Proven));
        let proven = self.newest(proven, policy.clock_skew).map(|place| (place, Reason::NewestProven));
        let verified = places.iter().copied().filter(|place| level(place) >= Some(Level::Restored));
        let verified = (1..=policy.min_verified).zip(verified);
        proven.chain(verified.map(|(number, place)| (place, Reason::Verified { number, of: policy.min_verified }))).collect()
    }

    /// The newest of these points, and those that may be as new: by clocks that differ, nobody can tell which of them was taken last.
    fn newest(&self, places: impl Iterator<Item = usize>, skew: Duration) -> impl Iterator<Item = usize> {
        let mut places = places.peekable();
        let newest = places.peek().map(|place| self.points[*place].taken);
        places.take_while(move |place| newest.is_some_and(|newest| later(self.points[*place].taken, skew) >= newest))
    }

    /// What protects a point by itself.
    fn protections(&mut self, policy: &Policy, now: Timestamp) {
        let holds = |until: Timestamp| policy.holds(until, now);
        for (point, reasons) in self.points.iter().zip(&mut self.reasons) {
            let pin = point.pinned.as_ref().filter(|pin| holds(pin.until));
            reasons.extend(pin.map(|pin| Reason::Pinned { until: pin.until, why: pin.reason.clone() }));
            reasons.extend(point.locked_until.filter(|until| holds(*until)).map(|until| Reason::Locked { until }));
            if point.level.is_none() {
                reasons.push(Reason::Unreadable);
            }
            reasons.extend(point.doubt.map(|doubt| Reason::Doubted { doubt }));
            if point.taken > now {
                reasons.push(Reason::Future { taken: point.taken });
            }
        }
    }
}

/// Whether it may stand for others.
const fn is_sound(point: &PointFacts) -> bool {
    point.doubt.is_none() && point.damage.is_none()
}

/// The level that a point has earned in this store, if its content is not known to be wrong: what was restored may be something else than
/// what was dumped.
fn own(point: &PointFacts) -> Option<Level> {
    point.level.filter(|_| point.damage != Some(Damage::Here))
}
