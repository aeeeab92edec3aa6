import EventLoop
import Link
import PKI
import TLS

/// Where connections to a local service go, ready to be made.
struct ServiceTarget: Sendable, Equatable {
    /// Where it is.
    let endpoint: Endpoint
    /// How TLS is spoken there; nil for bytes as they are.
    let tls: TargetTLS?

    /// The address that can be connected to at once, with nothing in between; nil where a name or TLS comes before.
    var direct: SocketAddress? { tls == nil ? endpoint.address : nil }

    /// A target without TLS at an address.
    init(_ address: SocketAddress) {
        endpoint = Endpoint(address)
        tls = nil
    }

    /// The target of a service of the configuration; reads the files of its TLS.
    ///
    /// Errors: those of the files, with the service and the key in front.
    init(_ service: Configuration.Service) throws(CertificateError) {
        do throws(AddressError) {
            endpoint = try Endpoint(parsing: service.target.address.description)
        } catch {
            throw CertificateError(
                .badRequest, "service \(service.name): \(error)", hint: "write its target as HOST:PORT or unix:PATH")
        }
        do throws(CertificateError) {
            tls = try service.target.isTLS ? TargetTLS(service) : nil
        } catch {
            var error = error
            error.message = "service \(service.name): \(error.message)"
            throw error
        }
    }
}

/// How TLS is spoken to a target.
struct TargetTLS: Sendable, Equatable {
    /// The client's side: whom it trusts, its own certificate, what it speaks.
    let context: TLSContext
    /// The name or IP address that the target's certificate must have.
    let host: String
    /// What is said between marks its own end, so that an end without close_notify cuts nothing off: HTTP and WebSocket.
    let isFramed: Bool
    /// What the context was made of, to see whether files have changed.
    private let stamp: [String]
    private let lists: [[UInt8]]

    /// What is asked for in the handshake (SNI): a name, never an address.
    var serverName: String? { IPv4Address(parsing: host) == nil && IPv6Address(parsing: host) == nil ? host : nil }

    init(_ service: Configuration.Service) throws(CertificateError) {
        var roots: [Certificate] = []
        for file in service.tls.ca { roots += try TrustBundle.load(file: file).roots }
        let trust = try roots.isEmpty ? TrustBundle.system() : TrustBundle(roots: roots)
        var credentials: Credentials?
        if let certificate = service.tls.certificate, let key = service.tls.key {
            credentials = try Credentials.load(
                certificateFile: certificate, keyFile: key, passphrase: try service.tls.passphrase.load())
        }
        let transparency = try TransparencyPolicy.load(service.tls)
        let revoked = try RevocationLists.read(service.tls.revocationFiles)
        let revocation = revoked.isEmpty ? nil : RevocationLists(revoked, service.tls.revocationMode)
        let pins = try PinPolicy(service.tls)
        host = service.tls.serverName ?? service.target.host ?? ""
        isFramed = service.target.scheme != .tls
        do throws(TLSError) {
            var configuration = TLSContext.Configuration.foreignServer(
                trust: trust, credentials: credentials, alpn: isFramed ? ["http/1.1"] : [])
            configuration.terms = service.tls.profile.terms
            configuration.transparency = transparency
            configuration.revocation = revocation
            configuration.pins = pins
            configuration.demandsStaple = service.tls.staple == .hard
            context = try TLSContext(configuration)
        } catch {
            throw error.certificate ?? CertificateError(.badRequest, error.message, hint: error.hint)
        }
        stamp =
            trust.roots.map(\.fingerprintSHA256) + ["-"]
            + (credentials?.chain.map(\.fingerprintSHA256) ?? []) + [
                service.target.scheme.rawValue, service.tls.profile.rawValue, service.tls.transparency.rawValue,
                service.tls.revocationMode.rawValue, service.tls.pinMode.rawValue, service.tls.staple.rawValue,
            ] + service.tls.pins + (transparency?.stamp ?? [])
        lists = revoked.map(\.der)
    }

    static func == (one: TargetTLS, other: TargetTLS) -> Bool {
        one.host == other.host && one.stamp == other.stamp && one.lists == other.lists
    }
}

extension PinPolicy {
    /// The pins of a target; none where it has none.
    fileprivate init(_ configured: Configuration.TargetTLS) throws(CertificateError) {
        self.init(
            rules: configured.pins.isEmpty
                ? [] : [try .init(node: nil, configured.pins, configured.pinMode, holdsForServers: true)])
    }
}

/// Why a target could not be connected.
enum TargetError: Error, CustomStringConvertible {
    /// The connection itself.
    case system(SystemError)
    /// The connection to one of several addresses, or the name.
    case connect(ConnectError)
    /// TLS with the target.
    case tls(ChannelError)
    /// Not in time.
    case timeout
    /// The certificates that it has shown are not good any more.
    case withdrawn

    /// What the peer is told.
    var reason: LinkReason {
        switch self {
        case .system(let error): error.errno == Errno.connectionRefused ? .targetRefused : .targetUnreachable
        case .connect(let error): error.code == .refused ? .targetRefused : .targetUnreachable
        case .tls, .withdrawn: .targetTLSFailed
        case .timeout: .targetTimeout
        }
    }

    /// For this node's log.
    var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .connect(let error): "\(error)"
        case .tls(.tls(let error)): "TLS with the target failed: \(error); \(error.hint)"
        case .tls(let error): "TLS with the target failed: \(error)"
        case .timeout: "the target did not answer in time"
        case .withdrawn: "what has changed meanwhile speaks against the target's certificate"
        }
    }
}
