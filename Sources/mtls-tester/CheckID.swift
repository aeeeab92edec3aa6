/// A part of the report.
enum Stage: String, Sendable, CaseIterable {
    case reachability, tls, server, refusals, acceptance, link, services, timing

    var title: String {
        switch self {
        case .reachability: "Reachability"
        case .tls: "TLS versions and suites"
        case .server: "The node's certificate"
        case .refusals: "Client certificates that must be refused"
        case .acceptance: "The good certificate"
        case .link: "Link"
        case .services: "Identity and directory"
        case .timing: "Times"
        }
    }
}

/// Every check there is, in the order of the report. The raw values are stable: scripts and tests rely on them.
enum CheckID: String, Sendable, CaseIterable {
    case tcp = "tcp_reachable"
    case speaksTLS = "speaks_tls"

    case tls10 = "tls10_refused"
    case tls11 = "tls11_refused"
    case tls12 = "tls12"
    case tls13 = "tls13_offered"
    case suites13 = "tls13_suites"
    case weak13 = "tls13_weak_suites_refused"
    case suites12 = "tls12_suites"
    case weak12 = "tls12_weak_suites_refused"

    case serverChain = "server_chain"
    case serverName = "server_name"
    case serverValidity = "server_validity"

    case noCertificate = "no_client_certificate"
    case foreignCA = "foreign_ca"
    case foreignCAChain = "foreign_ca_chain"
    case selfSigned = "self_signed"
    case forgedChain = "forged_chain"
    case expired = "expired"
    case notYetValid = "not_yet_valid"
    case wrongUsage = "wrong_usage"
    case noUsage = "no_usage"
    case twoSPIFFE = "two_spiffe_uris"
    case malformedSPIFFE = "malformed_spiffe_id"
    case cnContradictsURI = "cn_contradicts_uri"
    case ambiguousName = "ambiguous_name"
    case foreignDomain = "foreign_trust_domain"
    case caAsLeaf = "ca_as_leaf"
    case negativeSerial = "negative_serial"
    case weakKey = "weak_key"

    case goodCertificate = "good_certificate"
    case noTickets = "no_session_tickets"
    case wrongPath = "upgrade_wrong_path"
    case noSubprotocol = "upgrade_no_subprotocol"
    case upgrade = "websocket_upgrade"

    case hello = "link_hello"
    case roundTrip = "link_round_trip"

    case whoami = "mapped_identity"
    case directory = "directory_lookup"

    case handshakeTimes = "handshake_times"

    var stage: Stage {
        switch self {
        case .tcp, .speaksTLS: .reachability
        case .tls10, .tls11, .tls12, .tls13, .suites13, .weak13, .suites12, .weak12: .tls
        case .serverChain, .serverName, .serverValidity: .server
        case .noCertificate, .foreignCA, .foreignCAChain, .selfSigned, .forgedChain, .expired, .notYetValid,
            .wrongUsage, .noUsage, .twoSPIFFE, .malformedSPIFFE, .cnContradictsURI, .ambiguousName, .foreignDomain,
            .caAsLeaf, .negativeSerial, .weakKey:
            .refusals
        case .goodCertificate, .noTickets, .wrongPath, .noSubprotocol, .upgrade: .acceptance
        case .hello, .roundTrip: .link
        case .whoami, .directory: .services
        case .handshakeTimes: .timing
        }
    }

    var title: String {
        switch self {
        case .tcp: "the port takes connections"
        case .speaksTLS: "it speaks TLS"
        case .tls10: "TLS 1.0 is refused"
        case .tls11: "TLS 1.1 is refused"
        case .tls12: "TLS 1.2"
        case .tls13: "TLS 1.3 is offered"
        case .suites13: "suites of TLS 1.3"
        case .weak13: "weak suites of TLS 1.3 are refused"
        case .suites12: "suites of TLS 1.2"
        case .weak12: "weak suites of TLS 1.2 are refused"
        case .serverChain: "its chain leads to the CA"
        case .serverName: "it is the node or host that was meant"
        case .serverValidity: "it is valid now"
        case .noCertificate: "no certificate at all"
        case .foreignCA: "from a foreign CA with our CA's name"
        case .foreignCAChain: "the same, foreign CA sent along"
        case .selfSigned: "self-signed"
        case .forgedChain: "good leaf, forged certificate added"
        case .expired: "expired"
        case .notYetValid: "not valid yet"
        case .wrongUsage: "wrong usage (serverAuth only)"
        case .noUsage: "no extended key usage"
        case .twoSPIFFE: "two SPIFFE URIs"
        case .malformedSPIFFE: "malformed SPIFFE ID"
        case .cnContradictsURI: "CN contradicts SPIFFE URI"
        case .ambiguousName: "two CNs"
        case .foreignDomain: "foreign trust domain"
        case .caAsLeaf: "CA certificate as leaf"
        case .negativeSerial: "negative serial number"
        case .weakKey: "weak key (RSA 1024)"
        case .goodCertificate: "it is accepted"
        case .noTickets: "no session tickets are issued"
        case .wrongPath: "WebSocket on another path is refused"
        case .noSubprotocol: "WebSocket without subprotocol is refused"
        case .upgrade: "WebSocket upgrade"
        case .hello: "HELLO is answered"
        case .roundTrip: "round trip (PING)"
        case .whoami: "whom the node takes us for"
        case .directory: "directory lookup"
        case .handshakeTimes: "handshakes"
        }
    }
}
