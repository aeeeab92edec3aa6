import Gateway
import HTTP

/// What the edge itself answers on every listener.
extension EdgeExchange {
    /// Answers a request for one of the edge's own paths; false for all others.
    func answerOwn(_ client: ClientInfo) throws(EdgeRefusal) -> Bool {
        switch head.path {
        case "/.well-known/jwks.json":
            guard let keys = core.runtime.localKeys else { return false }
            try demand([.get, .head])
            var response = HTTPResponse(
                status: 200,
                headers: ["Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=300"],
                body: keys)
            answer(&response)
            return true
        default: return false
        }
    }

    /// Refuses every other method.
    func demand(_ methods: [HTTPMethod]) throws(EdgeRefusal) {
        guard !methods.contains(head.method) else { return }
        throw EdgeRefusal(
            .methodNotAllowed, status: 405, "this method has no meaning here",
            headers: ["Allow": methods.map(\.rawValue).joined(separator: ", ")])
    }
}
