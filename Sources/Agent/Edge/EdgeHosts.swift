import Gateway
import PKI
import TLS

/// Which hosts a listener is for.
struct EdgeHosts {
    /// The hosts that are served.
    ///
    /// Those of the configuration. Without any: all, but on a plain listener on loopback. There, a page of any site could
    /// let its own name lead to 127.0.0.1 (DNS rebinding) and would pass for a page of the same origin, so only names are
    /// served that cannot be rebound or that the configuration names. A proxy in front, where one is trusted, passes on
    /// hosts of its own.
    let served: HostList
    /// The hosts that the listener names: in its list, by its certificates, its public origin, or its routes. Only they may
    /// be repeated to clients as where to go.
    let named: HostList

    init(_ settings: Configuration.EdgeListener, routes: [Configuration.EdgeRoute], contexts: TLSServerContexts?) {
        let listed = settings.hosts.compactMap { HostPattern(parsing: $0) }
        guard listed.isEmpty else {
            served = HostList(listed)
            named = served
            return
        }
        var names = routes.map(\.host)
        if let origin = settings.publicOrigin.flatMap(EdgeCertificates.host(of:)) { names.append(origin) }
        let isRebindable =
            settings.tls == .disabled && settings.address.isLoopback && settings.address.port != nil
            && settings.trustedProxies.isEmpty
        served = isRebindable ? .loopback(and: names.compactMap { HostPattern(parsing: $0) }) : .all
        names += settings.certificates.flatMap(\.names) + settings.developmentNames + settings.developmentAddresses
        for context in contexts?.contexts ?? [] {
            guard let leaf = context.configuration.credentials?.leaf else { continue }
            names += leaf.dnsNames + leaf.ipAddresses
        }
        named = .named(by: names.compactMap { HostPattern(parsing: $0) })
    }
}
