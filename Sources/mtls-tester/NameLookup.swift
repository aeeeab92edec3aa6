import EventLoop

/// Turns the target's host into addresses, with patience that ends (`getaddrinfo` alone has none).
enum NameLookup {
    private final class Waiter: ResolveHandler {
        var result: Result<[SocketAddress], ResolveError>?

        func resolved(_ result: Result<[SocketAddress], ResolveError>, endpoint: Endpoint, loop: EventLoop) {
            self.result = result
            loop.handle.stop()
        }
    }

    static func addresses(of endpoint: Endpoint, timeout: UInt64) throws(Dialler.Unreachable) -> [SocketAddress] {
        if let address = endpoint.address { return [address] }
        let waiter = Waiter()
        do throws(SystemError) {
            let loop = try EventLoop()
            let resolution = Resolver.resolve(endpoint, timeout: timeout, loop: loop, handler: waiter)
            loop.run()
            withExtendedLifetime(resolution) {}
        } catch {
            throw Dialler.Unreachable(error)
        }
        switch waiter.result {
        case .success(let addresses): return addresses
        case .failure(let error):
            throw Dialler.Unreachable(
                text: "the name \(endpoint.host) has no address: \(error.detail)", hint: error.hint)
        case nil: throw Dialler.Unreachable(text: "the name \(endpoint.host) could not be looked up", hint: nil)
        }
    }
}
