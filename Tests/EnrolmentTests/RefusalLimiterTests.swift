import Enrolment
import Testing

@Suite struct RefusalLimiterTests {
    /// By the bytes of an address, not by its text, which has many forms.
    @Test(arguments: [
        ([192, 0, 2, 7], "192.0.2.7"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 7], "192.0.2.7"),
        ([0x20, 1, 0x0D, 0xB8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9], "2001:db8:0:1::/64"),
        ([0x20, 1, 0x0D, 0xB8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8], "2001:db8:0:1::/64"),
        ([0x20, 1, 0x0D, 0xB8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9], "2001:db8:0:2::/64"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "0:0:0:0::/64"),
    ])
    func sources(_ address: [UInt8], _ source: String) {
        #expect(RefusalLimiter.source(address: address) == source)
    }

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
