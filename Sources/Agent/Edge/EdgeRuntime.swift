import Gateway
import HTTP
import JOSE
import PKI
import TLS

/// Everything a loop of the edge decides with: one immutable value, made of the configuration and the files that it names,
/// and replaced as a whole.
final class EdgeRuntime: Sendable {
    /// The configuration that it was made of.
    let configuration: Configuration.Edge
    /// The listeners by their addresses as configured.
    let listeners: [String: EdgeListenerRuntime]
    /// Which request goes where.
    let routes: RouteTable
    /// The routes in the order of `routes`.
    let routeSettings: [EdgeRouteRuntime]
    /// Says who somebody is.
    let authenticator: Authenticator
    /// The local issuer's public keys as JSON; nil without one.
    let localKeys: [UInt8]?
    /// Whom the mesh trusts; nil without a mesh.
    let mesh: MeshTrust?
    /// What DPoP nonces of this process have in common.
    let process: DPoPProcess

    init(
        configuration: Configuration.Edge, listeners: [String: EdgeListenerRuntime], routes: RouteTable,
        routeSettings: [EdgeRouteRuntime], authenticator: Authenticator, localKeys: [UInt8]?,
        mesh: MeshTrust?, process: DPoPProcess
    ) {
        self.configuration = configuration
        self.listeners = listeners
        self.routes = routes
        self.routeSettings = routeSettings
        self.authenticator = authenticator
        self.localKeys = localKeys
        self.mesh = mesh
        self.process = process
    }

    /// The same with another authenticator: new keys, revocations or API keys.
    func with(_ authenticator: Authenticator) -> EdgeRuntime {
        EdgeRuntime(
            configuration: configuration, listeners: listeners, routes: routes, routeSettings: routeSettings,
            authenticator: authenticator, localKeys: localKeys, mesh: mesh, process: process)
    }

    /// The same under other roots of the mesh. No file is read for it, so that one which is broken holds no change of roots up.
    ///
    /// Errors: those of TLS.
    func trusting(_ mesh: MeshTrust?) throws -> EdgeRuntime {
        EdgeRuntime(
            configuration: configuration, listeners: try listeners.mapValues { try $0.trusting(mesh) }, routes: routes,
            routeSettings: routeSettings, authenticator: authenticator, localKeys: localKeys, mesh: mesh,
            process: process)
    }
}

/// A listener's settings, ready for use.
struct EdgeListenerRuntime: Sendable {
    /// As configured.
    let settings: Configuration.EdgeListener
    /// TLS, where it is spoken here.
    let tls: TLSServerContexts?
    /// The CAs for clients that its files name, before the mesh's list of roots is applied; nil where they name none.
    let clientTrust: TrustBundle?
    /// The keys of session tickets, by certificate; they outlive a reload.
    let tickets: [String: TicketKeys]
    /// Whose word about clients counts.
    let trust: ProxyTrust
    /// Who may connect.
    let filter: AddressFilter
    /// HSTS and the like, for answers over TLS.
    let security: SecurityFields
    /// Which hosts are served.
    let hosts: HostList
    /// To which hosts a plain request on a TLS port may be redirected.
    let redirectHosts: HostList

    /// The same under other roots of the mesh, with what was read before.
    fileprivate func trusting(_ mesh: MeshTrust?) throws -> EdgeListenerRuntime {
        guard let tls, let clientTrust else { return self }
        let trust = try mesh?.clients(by: clientTrust) ?? clientTrust
        let entries = try tls.entries.map { entry in
            var configuration = entry.context.configuration
            configuration.trust = trust
            configuration.reservedDomain = mesh?.reserved
            return TLSServerContexts.Entry(try TLSContext(configuration), names: entry.names)
        }
        return EdgeListenerRuntime(
            settings: settings, tls: try TLSServerContexts(entries, unknownName: tls.unknownName),
            clientTrust: clientTrust, tickets: tickets, trust: self.trust, filter: filter, security: security,
            hosts: hosts, redirectHosts: redirectHosts)
    }
}

/// A route's settings, ready for use.
struct EdgeRouteRuntime: Sendable {
    /// As configured.
    let settings: Configuration.EdgeRoute
    /// How it is named in logs and metrics: host and path.
    let name: String
    /// Requests a second.
    let rate: RatePolicy?
    /// Which pages may use it.
    let origins: OriginPolicy
    /// CORS, where pages of other origins may use it.
    let cors: CORSPolicy?
    /// Makes the request that the service gets.
    let rewriter: RequestRewriter
}
