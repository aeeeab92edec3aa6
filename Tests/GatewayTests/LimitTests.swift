import Gateway
import HTTP
import SeededRandom
import Testing
import WebSocket

private let second: UInt64 = 1_000_000_000

@Suite struct LimitTests {
    @Test func bucketsFillWithTime() {
        let policy = RatePolicy(name: "address", perSecond: 2, burst: 4)
        var bucket = TokenBucket()
        let start = 100 * second
        for left in [3, 2, 1, 0] {
            let decision = bucket.take(at: start, policy)
            #expect(decision.isAllowed && decision.remaining == left && decision.retryAfter == 0)
        }
        let refused = bucket.take(at: start, policy)
        #expect(!refused.isAllowed && refused.retryAfter == second / 2 && refused.retryAfterSeconds == 1)
        #expect(refused.remaining == 0 && refused.reset == 2 * second)
        #expect(!bucket.take(at: start + second / 2 - 1, policy).isAllowed)
        #expect(bucket.take(at: start + second / 2, policy).isAllowed)
        #expect(!bucket.isFull(at: start + 2 * second) && bucket.isFull(at: start + 3 * second))
        #expect(bucket.take(3, at: start + 10 * second, policy).remaining == 1)
        #expect(!bucket.take(2, at: start + 10 * second, policy).isAllowed)
    }

    @Test func costsAboveTheBurstAreNeverAllowed() {
        let policy = RatePolicy(name: "x", perSecond: 1, burst: 2)
        var bucket = TokenBucket()
        #expect(!bucket.take(3, at: 0, policy).isAllowed)
        #expect(!bucket.take(.max, at: 0, policy).isAllowed)
        #expect(bucket.take(2, at: 0, policy).isAllowed)
        #expect(bucket.take(0, at: 0, policy).isAllowed)
    }

    /// In any time the bucket lets through no more than the burst and the rate allow.
    @Test func neverMoreThanTheRate() {
        var random = SeededRandom(9)
        let policy = RatePolicy(name: "x", perSecond: 10, burst: 5)
        var bucket = TokenBucket()
        var now: UInt64 = 0
        var taken = 0
        for _ in 0..<5000 {
            now += UInt64.random(in: 0...(second / 20), using: &random)
            if bucket.take(at: now, policy).isAllowed { taken += 1 }
        }
        let most = Double(now) / Double(second) * 10 + 5
        #expect(Double(taken) <= most && Double(taken) > most * 0.95)
    }

    @Test func keysAreApart() {
        var limiter = RateLimiter<String>(RatePolicy(name: "x", perSecond: 1, burst: 1), capacity: 10)
        #expect(limiter.take("a", at: 0).isAllowed)
        #expect(!limiter.take("a", at: 0).isAllowed)
        #expect(limiter.take("b", at: 0).isAllowed)
        #expect(limiter.take("a", at: second).isAllowed)
    }

    /// However many keys an attacker has: the table stays bounded, and who is known and owes is not forgotten.
    @Test func nobodyIsPushedOut() {
        var limiter = RateLimiter<Int>(RatePolicy(name: "x", perSecond: 0.01, burst: 1), capacity: 1000)
        #expect(limiter.take(-1, at: 0).isAllowed)
        for key in 0..<20_000 { _ = limiter.take(key, at: 0) }
        #expect(limiter.count == 1000)
        #expect(!limiter.take(-1, at: 0).isAllowed)
        // All 1024 shared places are taken by now, so that 20,000 more keys get next to nothing.
        let more = (20_000..<40_000).count { limiter.take($0, at: 0).isAllowed }
        #expect(more < 20)
        // When the debts are paid, the table empties itself as new keys come.
        let later = 200 * second
        for key in 50_000..<50_400 { #expect(limiter.take(key, at: later).isAllowed) }
        #expect(limiter.count < 1000)
    }

    @Test func fieldsAreWritten() {
        let policy = RatePolicy(name: "route", perSecond: 0.5, burst: 3)
        var bucket = TokenBucket()
        var headers = HTTPHeaders()
        bucket.take(at: 0, policy).write(policy, into: &headers)
        #expect(headers["RateLimit-Policy"] == "\"route\";q=3;w=6")
        #expect(headers["RateLimit"] == "\"route\";r=2;t=2")
        _ = bucket.take(2, at: 0, policy)
        let refusal = EdgeRefusal.tooMany(.rateLimited, bucket.take(at: 0, policy), policy: policy)
        #expect(
            refusal.status == 429 && refusal.headers["Retry-After"] == "2"
                && refusal.headers["RateLimit"] == "\"route\";r=0;t=2")
        #expect(refusal.closeCode.rawValue == 4429)
    }

    @Test func ratesAtTheEdges() {
        for policy in [
            RatePolicy(name: "x", perSecond: 1e-9, burst: 1_000_000_000),
            RatePolicy(name: "x", perSecond: 1e12, burst: 1),
            RatePolicy(name: "x", perSecond: 1e-300, burst: .max), RatePolicy(name: "x", perSecond: 3, burst: 7),
        ] {
            var bucket = TokenBucket()
            #expect(bucket.take(at: 0, policy).isAllowed)
            #expect(bucket.take(at: UInt64.max / 4, policy).retryAfterSeconds >= 1)
            #expect(policy.windowSeconds >= 1)
        }
    }

    @Test func failuresCostMoreAndMore() {
        var policy = FailurePenalty<IPAddress>.Policy()
        policy.free = 2
        var penalty = FailurePenalty<IPAddress>(policy)
        let key = ip("203.0.113.9")
        var now: UInt64 = 1000 * second
        #expect(penalty.failed(key, at: now).isAllowed && penalty.failed(key, at: now).isAllowed)
        for pause in [1, 2, 4, 8, 16] as [UInt64] {
            let decision = penalty.failed(key, at: now)
            #expect(!decision.isAllowed && decision.retryAfter == pause * second)
            #expect(!penalty.check(key, at: now + pause * second - 1).isAllowed)
            now += pause * second
            #expect(penalty.check(key, at: now).isAllowed)
        }
        #expect(penalty.check(ip("203.0.113.10"), at: now).isAllowed)
        for _ in 0..<100 { now += penalty.failed(key, at: now).retryAfter }
        #expect(penalty.failed(key, at: now).retryAfter == 300 * second)
        // One failure fades a minute; it takes as long again to become free.
        now += 10 * 60 * second
        #expect(penalty.check(key, at: now).isAllowed)
        #expect(!penalty.failed(key, at: now).isAllowed)
        now += 300 * 60 * second
        #expect(penalty.failed(key, at: now).isAllowed)
    }

    @Test func penaltiesAreBounded() {
        var penalty = FailurePenalty<Int>(capacity: 100)
        for _ in 0..<7 { penalty.failed(-1, at: 0) }
        for key in 0..<5000 { penalty.failed(key, at: 0) }
        #expect(penalty.count == 100 && !penalty.check(-1, at: 0).isAllowed)
        for key in 6000..<6100 { penalty.failed(key, at: 10_000 * second) }
        #expect(penalty.count <= 100 && penalty.check(-1, at: 10_000 * second).isAllowed)
    }

    @Test func connectionsAreCounted() {
        var counter = ConnectionCounter<String>(total: 3, perKey: 2)
        #expect(counter.acquire("a") == nil && counter.acquire("a") == nil)
        #expect(counter.acquire("a") == .perKey)
        #expect(counter.acquire("b") == nil && counter.acquire("c") == .total)
        counter.release("a")
        #expect(counter.open == 2 && counter.open("a") == 1 && counter.open("c") == 0)
        #expect(counter.acquire("c") == nil && counter.open == 3)
        // A place changes hands without ever being free; what the new one's own limit forbids is not counted.
        #expect(counter.exchange("a", for: "b") == nil && counter.open == 3 && counter.open("b") == 2)
        #expect(counter.exchange("c", for: "b") == .perKey && counter.open == 2 && counter.open("c") == 0)
    }
}
