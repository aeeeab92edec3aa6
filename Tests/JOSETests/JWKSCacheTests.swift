import JOSE
import JSON
import PKI
import Testing

@Suite struct JWKSCacheTests {
    private let settings = JWKSCache.Settings(
        freshFor: 600, freshBounds: 60...3600, unknownKeyInterval: 30, retryAfter: 5, retryLimit: 40, timeout: 10)
    private let first: [UInt8]
    private let second: [UInt8]

    init() throws {
        let keys = try Keys.shared.get()
        first = try KeySet([JWK(keys.p256.publicKey, keyID: "a")]).json.serialized()
        second = try KeySet([JWK(keys.ed25519.publicKey, keyID: "b")]).json.serialized()
    }

    private func kind(_ update: JWKSCache.Update) -> String {
        switch update {
        case .replaced(let set): "replaced \(set.keys.compactMap(\.keyID))"
        case .unchanged: "unchanged"
        case .rejected(let error): "rejected \(error.reason.rawValue)"
        case .ignored: "ignored"
        }
    }

    private func filled() -> JWKSCache {
        var cache = JWKSCache(settings: settings)
        _ = cache.tick(at: 0)
        _ = cache.fetched(first, number: 1, at: 0)
        return cache
    }

    @Test func firstTickFetchesAndAnswerIsFreshForItsTime() {
        var cache = JWKSCache(settings: settings)
        #expect(cache.freshness(at: 0) == .empty && cache.wake == .min)
        #expect(cache.tick(at: 0) == .fetch(number: 1))
        #expect(cache.tick(at: 5) == nil)
        #expect(kind(cache.fetched(first, number: 1, at: 5)) == #"replaced ["a"]"#)
        #expect(cache.wake == 605)
        #expect(cache.freshness(at: 604) == .fresh && cache.freshness(at: 605) == .stale)
        #expect(cache.tick(at: 604) == nil)
        #expect(cache.tick(at: 605) == .fetch(number: 2))
        #expect(kind(cache.fetched(first, maximumAge: 100, number: 2, at: 606)) == "unchanged")
        #expect(cache.wake == 706)
        #expect(cache.tick(at: 706) == .fetch(number: 3))
        #expect(kind(cache.fetched(second, maximumAge: 1 << 40, number: 3, at: 706)) == #"replaced ["b"]"#)
        #expect(cache.wake == 706 + 3600)
    }

    @Test func lastGoodSetStaysWhenTheIssuerIsDown() {
        var cache = filled()
        var now: Int64 = 600
        for pause in [5, 10, 20, 40, 40] as [Int64] {
            guard case .fetch(let number) = cache.tick(at: now) else {
                Issue.record("no fetch at \(now)")
                return
            }
            cache.failed(number: number, at: now)
            #expect(cache.wake == now + pause)
            now = cache.wake
        }
        #expect(cache.failures == 5 && cache.freshness(at: now) == .stale)
        #expect(cache.keys?.keys.map(\.keyID) == ["a"])
        guard case .fetch(let number) = cache.tick(at: now) else {
            Issue.record("no fetch")
            return
        }
        #expect(kind(cache.fetched(Array("<html>".utf8), number: number, at: now)) == "rejected malformed_key_set")
        #expect(cache.keys?.keys.map(\.keyID) == ["a"])
    }

    @Test func aFetchThatHangsIsGivenUpAndItsAnswerIgnored() {
        var cache = filled()
        #expect(cache.tick(at: 600) == .fetch(number: 2))
        #expect(cache.wake == 610 && cache.tick(at: 609) == nil)
        #expect(cache.tick(at: 610) == nil)
        #expect(cache.failures == 1 && cache.wake == 615)
        #expect(kind(cache.fetched(second, number: 2, at: 611)) == "ignored")
        cache.failed(number: 2, at: 612)
        #expect(cache.failures == 1)
        #expect(cache.tick(at: 615) == .fetch(number: 3))
        #expect(kind(cache.fetched(second, number: 3, at: 616)) == #"replaced ["b"]"#)
        #expect(cache.failures == 0)
    }

    @Test func anUnknownKeyIsLookedForOnceInAWhile() {
        var cache = filled()
        #expect(cache.unknownKey(at: 100) == .fetch(number: 2))
        #expect(cache.unknownKey(at: 100) == .waiting)
        _ = cache.fetched(first, number: 2, at: 101)
        #expect(cache.unknownKey(at: 102) == .refused)
        #expect(cache.unknownKey(at: 129) == .refused)
        #expect(cache.unknownKey(at: 130) == .fetch(number: 3))
        cache.failed(number: 3, at: 131)
        // The issuer's failures set the pace, however long ago the last look was.
        #expect(cache.unknownKey(at: 135) == .refused)
        // Ten thousand invented key ids in an hour: two fetches a minute at most.
        var fetches = 0
        for step in 0..<10_000 {
            let now = 1000 + Int64(step) * 3600 / 10_000
            if case .fetch(let number) = cache.unknownKey(at: now) {
                fetches += 1
                _ = cache.fetched(first, number: number, at: now)
            }
        }
        #expect(fetches == 120)
    }

    /// Another CA: what was fetched holds, and is fetched anew at once, whatever the pace was.
    @Test func anotherSourceIsAskedAtOnce() {
        var cache = filled()
        _ = cache.unknownKey(at: 10)
        #expect(cache.sourceChanged(at: 11) == .fetch(number: 3))
        #expect(kind(cache.fetched(second, number: 2, at: 12)) == "ignored")
        #expect(cache.keys?.keys.map(\.keyID) == ["a"])
        cache.failed(number: 3, at: 12)
        #expect(cache.keys?.keys.map(\.keyID) == ["a"] && cache.failures == 1)
        #expect(cache.sourceChanged(at: 13) == .fetch(number: 4))
        #expect(kind(cache.fetched(second, number: 4, at: 14)) == #"replaced ["b"]"#)
    }

    @Test func aSetOfBeforeTheRestartCounts() {
        let cache = JWKSCache(settings: settings, lastGood: first)
        #expect(cache.keys?.keys.map(\.keyID) == ["a"] && cache.freshness(at: 0) == .stale && cache.wake == .min)
        #expect(JWKSCache(settings: settings, lastGood: [0]).keys == nil)
    }
}
