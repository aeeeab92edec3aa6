import EventLoop
import JOSE
import JSON

/// Keeps the key sets of issuers that publish theirs by HTTPS: fetches them as `JWKSCache` says.
@ControlPlane
final class KeyFetcher {
    private final class Issuer: TimerHandler {
        let name: String
        var source: HTTPFetch.Source
        let url: String
        var cache = JWKSCache()
        var fetch: HTTPFetch?
        var timer: TimerID?
        /// Requests that wait for the end of a fetch.
        var waiting: [@Sendable () -> Void] = []
        let tick: @ControlPlane () -> Void

        init(name: String, url: String, source: HTTPFetch.Source, tick: @escaping @ControlPlane () -> Void) {
            self.name = name
            self.url = url
            self.source = source
            self.tick = tick
        }

        func timerFired(tag: Int, loop: EventLoop) {
            timer = nil
            ControlPlane.assumeIsolated { [tick] in tick() }
        }
    }

    private let log: Log
    private let parts: ChannelLoop
    private var issuers: [String: Issuer] = [:]
    /// There is a new key set of an issuer.
    var changed: @ControlPlane (_ issuer: String, KeySet) -> Void = { _, _ in }

    init(log: Log) {
        self.log = log
        parts = ChannelLoop(ControlPlane.loop)
    }

    /// Fetches for these issuers, by name, from now on; those that did not change keep what they have, and other CA
    /// certificates are no reason to forget keys.
    func configure(_ configured: [String: HTTPFetch.Source]) {
        var next: [String: Issuer] = [:]
        var renewed: [String] = []
        for (name, source) in configured {
            let url = source.url
            if let known = issuers[name], known.url == url {
                next[name] = known
                if known.source != source {
                    known.source = source
                    renewed.append(name)
                }
                continue
            }
            next[name] = Issuer(name: name, url: url, source: source) { [weak self] in self?.tick(name) }
        }
        for (name, issuer) in issuers where next[name] !== issuer { end(issuer) }
        let added = next.keys.filter { issuers[$0] !== next[$0] }
        issuers = next
        for name in added { tick(name) }
        for name in renewed { fetchAnew(name) }
    }

    private func end(_ issuer: Issuer) {
        if let timer = issuer.timer { ControlPlane.loop.cancel(timer) }
        issuer.fetch?.cancel()
        for done in issuer.waiting { done() }
        issuer.waiting = []
    }

    /// Stops all fetching.
    func stop() {
        for issuer in issuers.values { end(issuer) }
        issuers = [:]
    }

    /// A token names a key that is not known. `done` is called when a fetch that may bring it has ended, or at once.
    func wants(_ name: String, done: @escaping @Sendable () -> Void) {
        guard let issuer = issuers[name] else { return done() }
        switch issuer.cache.unknownKey(at: now) {
        case .fetch(let number):
            issuer.waiting.append(done)
            fetch(issuer, number)
        case .waiting: issuer.waiting.append(done)
        case .refused: done()
        }
    }

    /// How good the keys of each issuer are.
    var freshness: [String: JWKSCache.Freshness] { issuers.mapValues { $0.cache.freshness(at: now) } }

    /// Seconds of the monotonic clock.
    private var now: Int64 { Int64(ControlPlane.loop.now / Clock.second) }

    private func tick(_ name: String) {
        guard let issuer = issuers[name] else { return }
        if case .fetch(let number)? = issuer.cache.tick(at: now) { fetch(issuer, number) }
        schedule(issuer)
    }

    private func fetchAnew(_ name: String) {
        guard let issuer = issuers[name] else { return }
        switch issuer.cache.sourceChanged(at: now) {
        case .fetch(let number): fetch(issuer, number)
        }
        schedule(issuer)
    }

    private func schedule(_ issuer: Issuer) {
        if let timer = issuer.timer { ControlPlane.loop.cancel(timer) }
        let wait = max(1, issuer.cache.wake - now)
        issuer.timer = ControlPlane.loop.schedule(after: UInt64(min(wait, 86_400)) * Clock.second, issuer)
    }

    private func fetch(_ issuer: Issuer, _ number: UInt64) {
        issuer.fetch?.cancel()
        let timeout = UInt64(max(1, issuer.cache.settings.timeout)) * Clock.second
        let request = HTTPFetch.Request(accept: "application/jwk-set+json, application/json")
        issuer.fetch = HTTPFetch(issuer.source, request, maximumSize: KeySet.sizeLimit, timeout: timeout, parts: parts)
        {
            [weak self, weak issuer] result in
            ControlPlane.assumeIsolated {
                guard let self, let issuer else { return }
                self.ended(issuer, number, result)
            }
        }
    }

    private func ended(_ issuer: Issuer, _ number: UInt64, _ result: Result<HTTPFetch.Answer, HTTPFetch.Failure>) {
        issuer.fetch = nil
        switch result {
        case .success(let answer):
            switch issuer.cache.fetched(answer.body, maximumAge: answer.maximumAge, number: number, at: now) {
            case .replaced(let keys):
                log.info(
                    "edge_keys_fetched", "the keys of an issuer were fetched",
                    [("issuer", .string(issuer.name)), ("keys", .init(keys.keys.count))])
                changed(issuer.name, keys)
            case .unchanged, .ignored: break
            case .rejected(let error): failed(issuer, error.message)
            }
        case .failure(let failure):
            issuer.cache.failed(number: number, at: now)
            failed(issuer, failure.text)
        }
        schedule(issuer)
        let waiting = issuer.waiting
        issuer.waiting = []
        for done in waiting { done() }
    }

    private func failed(_ issuer: Issuer, _ text: String) {
        log.warning(
            "edge_keys_failed", "the keys of an issuer could not be fetched; the last good ones stay in force",
            [("issuer", .string(issuer.name)), ("url", .string(issuer.url)), ("detail", .string(text))])
    }
}
