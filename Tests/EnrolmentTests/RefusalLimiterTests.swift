import Enrolment
import Testing

@Suite struct RefusalLimiterTests {
    @Test func tenRefusalsThenOneEverySixSeconds() {
        var limiter = RefusalLimiter()
        for _ in 0..<10 {
            #expect(limiter.admits("192.0.2.1", now: 0))
            limiter.refused("192.0.2.1", now: 0)
        }
        #expect(!limiter.admits("192.0.2.1", now: 0))
        #expect(!limiter.admits("192.0.2.1", now: 5_900))
        #expect(limiter.admits("192.0.2.1", now: 6_100))
        // Others are not slowed down, and whoever is never refused is always heard.
        #expect(limiter.admits("192.0.2.2", now: 0))
        #expect(limiter.admits("192.0.2.1", now: 3_600_000))
    }

    @Test func theTableHasABoundAndForgetsWhoIsQuietLongest() {
        var limiter = RefusalLimiter()
        for _ in 0..<10 { limiter.refused("guilty", now: 1_000) }
        for index in 0..<RefusalLimiter.capacity - 1 { limiter.refused("host-\(index)", now: Int64(index) % 100) }
        #expect(limiter.count == RefusalLimiter.capacity)
        for index in 0..<50 { limiter.refused("other-\(index)", now: 1_000) }
        #expect(limiter.count == RefusalLimiter.capacity)
        #expect(!limiter.admits("guilty", now: 1_000))
    }
}
