import PKI

/// The URIs under which clients reach a front.
enum FrontURI {
    /// The URI of a listener.
    ///
    /// - Parameters:
    ///   - port: The port that it really has, where any was asked for.
    ///   - names: What its certificate is for; with a listener on all addresses, the first one is shown.
    static func text(
        _ listener: Configuration.EdgeListener, port: UInt16?, names: [String], isWebSocket: Bool
    ) -> String {
        let isSecure =
            listener.tls == .application || listener.tls == .auto || listener.publicOrigin?.hasPrefix("https:") == true
        let scheme = isWebSocket ? (isSecure ? "wss" : "ws") : (isSecure ? "https" : "http")
        if let origin = listener.publicOrigin, let start = origin.firstRange(of: "://") {
            return "\(scheme)://\(origin[start.upperBound...])"
        }
        guard case .host(let host, let configured) = listener.address else { return "\(listener.address)" }
        let name = listener.address.isWildcard ? names.first { !$0.hasPrefix("*") } ?? "localhost" : host
        return "\(scheme)://" + Configuration.Address.host(name, port: port ?? configured).description
    }
}

extension FrontConfiguration {
    /// Whether clients are told a WebSocket's URI.
    var isWebSocket: Bool {
        if let transport { return transport == .ws }
        return targets.first?.url.scheme.isWebSocket ?? false
    }

    /// The names that a listener's first certificate is for.
    func names(of listener: Configuration.EdgeListener) -> [String] {
        if let pair = listener.certificates.first, let leaf = try? Certificate.load(file: pair.certificate).first {
            return leaf.dnsNames
        }
        return listener.developmentNames
    }
}
