import Link
import SeededRandom
import Testing

/// When a peer is dialled again, and what somebody who wants the link can do about it.
@Suite struct DialPauseTests {
    private let second: UInt64 = 1_000_000_000

    @Test func withoutAPauseAWishDials() {
        let pause = DialPause()
        #expect(pause.wish(now: 7) == .dial)
        #expect(!pause.lasts(7))
    }

    /// The first wish after a lost link is answered by a dial, whatever pause was drawn.
    @Test func aLostLinkIsDialledAtOnce() {
        var pause = DialPause()
        pause.begin(.linkLost, now: 5 * second, delay: 30 * second, wanted: second / 2)
        #expect(pause.wish(now: 5 * second) == .dial)
        #expect(pause.lasts(5 * second), "nobody who does not want it dials")
    }

    /// After a dial that came to nothing a wish waits as long as a link that is always kept would, and no longer.
    @Test func aWishShortensAPauseOnce() {
        var pause = DialPause()
        pause.begin(.failed, now: second, delay: 30 * second, wanted: second / 2)
        #expect(pause.wish(now: second) == .wait(second / 2))
        #expect(pause.wish(now: second * 5 / 4) == .wait(second / 4))
        #expect(pause.wish(now: second * 3 / 2) == .dial)
        pause.begin(.failed, now: second, delay: second / 4, wanted: second / 2)
        #expect(pause.wish(now: second) == .wait(second / 4), "never beyond the pause itself")
    }

    /// Nobody waits for a pause of many seconds: he is told.
    @Test func longPausesAreToldAtOnce() {
        var pause = DialPause()
        pause.begin(.failed, now: 0, delay: 30 * second, wanted: 4 * second)
        #expect(pause.wish(now: second) == .refuse(3 * second))
        #expect(pause.wish(now: 3 * second) == .wait(second))
    }

    /// What the peer named holds for everybody, to the end.
    @Test func aHintIsNotShortened() {
        var pause = DialPause()
        pause.begin(.hint, now: 0, delay: 6 * second, wanted: 0)
        #expect(pause.wish(now: 0) == .refuse(6 * second))
        #expect(pause.wish(now: 6 * second - 1) == .wait(1))
        #expect(pause.lasts(6 * second - 1))
        #expect(pause.wish(now: 6 * second) == .dial)
        pause.begin(.hint, now: 0, delay: 6 * second, wanted: 0)
        pause.over()
        #expect(pause.wish(now: 0) == .dial)
    }

    /// An application that connects without end, to a peer that refuses every dial at once: no more than the pauses allow.
    @Test func wishesWithoutEndDialAsOftenAsTheBackoffLets() {
        var generator = SeededRandom(42)
        var backoff = Backoff(base: second / 10, cap: 30 * second)
        var pause = DialPause()
        var dials = 0
        // A wish each millisecond, for 100 s.
        for millisecond in 0..<UInt64(100_000) {
            let now = second + millisecond * 1_000_000
            guard pause.wish(now: now) == .dial else { continue }
            dials += 1
            let next = backoff.pause(wantedCap: second / 2, random: generator.next())
            pause.begin(.failed, now: now, delay: next.delay, wanted: next.wanted)
        }
        // Uniform between 0 and half a second: 400 in 100 s, and one and a half times that is beyond any luck.
        #expect((250...600).contains(dials), "\(dials) dials")
    }

    /// The delay under the smaller cap is never the longer one, and a hint is the same under both.
    @Test func theDelayForWishes() {
        for random in [0, 1 << 62, UInt64.max] {
            var backoff = Backoff(base: 100, cap: 10_000)
            for _ in 0..<12 {
                let next = backoff.pause(wantedCap: 500, random: random)
                #expect(next.wanted <= min(next.delay, 500))
            }
            let slow = backoff.pause(reason: .linkDenied, wantedCap: 500, random: random)
            #expect((2_000...4_000).contains(slow.wanted) && (40_000...80_000).contains(slow.delay))
            let hint = backoff.pause(reason: .overloaded, retryAfter: 2, wantedCap: 500, random: random)
            #expect(hint.wanted == hint.delay && (2_000_000...3_000_000).contains(hint.delay))
        }
    }
}
