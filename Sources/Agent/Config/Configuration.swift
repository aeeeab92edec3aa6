public import JSON
public import TLS

/// Everything an agent is told: the effective configuration, resolved and checked.
///
/// Made by ``ConfigurationLoader``. Paths are absolute (or relative to the working directory where the configuration
/// file was named relatively), addresses are legal, cross checks have passed. The initial values here *are* the
/// defaults; ``ConfigurationTable`` gives every key its name, its limits and its words.
public struct Configuration: Sendable, Equatable {
    /// Who this node is.
    public var node = Node()
    /// Its certificate and key.
    public var identity = Identity()
    /// Whom it believes.
    public var trust = Trust()
    /// The mesh's CA, where this node serves it.
    public var ca = CA()
    /// How the state of certificates is found out.
    public var ocsp = OCSP()
    /// How TLS is spoken.
    public var tls = TLS()
    /// Where it listens.
    public var listen = Listen()
    /// Nodes to which a link is always kept.
    public var peers: [Peer] = []
    /// Where the directory is, or that it is here.
    public var directory = Directory()
    /// What runs here.
    public var services: [Service] = []
    /// Local listeners that lead to services.
    public var upstreams: [Upstream] = []
    /// Where external clients come in.
    public var edge = Edge()
    /// Identity mappings and rules.
    public var policy = Policy()
    /// Event loops that carry traffic, one thread each; 0 stands for one per core until the loader resolves it.
    public var workers = 0
    /// What workers do before they sleep.
    public var polling = Polling.auto
    /// Timers of links.
    public var links = Links()
    /// Flow control of streams.
    public var streams = Streams()
    /// What the agent takes on at most.
    public var limits = Limits()
    /// What it writes about itself.
    public var log = Log()
    /// How it ends.
    public var shutdown = Shutdown()
    /// What is kept of security events.
    public var audit = Audit()

    /// The defaults.
    public init() {}
}

extension Configuration {
    /// Who this node is.
    public struct Node: Sendable, Equatable {
        /// The node's name; nil means the common name of its certificate.
        public var name: String?
        /// Where the agent keeps what must survive a restart.
        public var stateDirectory = "state"
        /// Addresses at which other nodes reach this node's mesh listener. The loader fills in `listen.mesh` when
        /// nothing is given and that is a single address.
        public var advertise: [Address] = []
        /// Free facts about the node for the directory.
        public var metadata: [String: String] = [:]
        /// Core dumps are written, and debuggers can attach.
        public var coreDumps = false
    }

    /// The node's certificate and key: either two PEM files or one PKCS#12 file.
    public struct Identity: Sendable, Equatable {
        /// PEM file: the leaf, then its intermediates.
        public var certificate: String?
        /// PEM file: the private key.
        public var key: String?
        /// PKCS#12 file with certificate, intermediates and key.
        public var pkcs12: String?
        /// Where the passphrase of `key` or `pkcs12` is.
        public var passphrase = PassphraseSource()
        /// How the first certificate is got.
        public var join = Join()
        /// How it is renewed.
        public var renew = Renewal()
    }

    /// Whom the node believes: PEM files with CA certificates.
    public struct Trust: Sendable, Equatable {
        /// CAs of the nodes that this node dials.
        public var servers: [String] = []
        /// CAs of the nodes that dial this node.
        public var clients: [String] = []
        /// The shorthand for both; the loader has put it into `servers` and `clients` already.
        public var ca: [String] = []
        /// File with the list of operators, whose signed documents count; nil leaves it to the peers to bring it.
        public var operators: String?
        /// The trust domain; nil means that of the node's certificate.
        public var domain: String?
        /// CRLs of the CAs.
        public var revocationFiles: [String] = []
        /// Where further ones are fetched.
        public var revocationURLs: [String] = []
        /// What happens where none is up to date.
        public var revocationMode = RevocationMode.soft
    }

    /// What happens where it cannot be found out whether a certificate is revoked.
    public enum RevocationMode: String, Sendable, CaseIterable {
        /// It passes.
        case soft
        /// It is refused.
        case hard
    }

    /// How TLS is spoken between nodes.
    public struct TLS: Sendable, Equatable {
        /// What may be negotiated.
        public var profile = TLSProfile.modern
        /// The lowest version that is accepted; the loader makes it the profile's where nothing is given.
        public var minimumVersion = TLSVersion.tls13
        /// Suites, a choice of the profile's; empty means all.
        public var cipherSuites: [String] = []
        /// Groups of the key exchange, a choice of the profile's; empty means all.
        public var groups: [String] = []
        /// Whether certificates without extended key usage and names are accepted.
        public var legacyCertificates = false
        /// Whether a faster AES-GCM than OpenSSL's is used where there is one.
        public var acceleration = Acceleration.auto
        /// Pins of nodes.
        public var pins: [Pins] = []
        /// What is demanded of SCTs.
        public var transparency = Transparency()
    }

    /// Pins, one of which a node's certificate chain must match.
    public struct Pins: Sendable, Equatable {
        /// The node; nil means every node that dials this one.
        public var node: String?
        /// The pins, as `CertificatePin` reads them.
        public var pins: [String] = []
        /// What a certificate that matches none of them meets with.
        public var mode = PinMode.enforce

        /// Pins of nobody, to be filled in.
        public init() {}
    }

    /// What a certificate that matches no pin meets with.
    public enum PinMode: String, Sendable, CaseIterable {
        /// The handshake fails.
        case enforce
        /// It is logged and counted.
        case report
    }

    /// Where AES-GCM comes from.
    public enum Acceleration: String, Sendable, CaseIterable {
        /// The fastest that library and CPU have (`TLSAcceleration`), OpenSSL otherwise.
        case auto
        /// OpenSSL.
        case off
    }

    /// What a worker does when it has nothing to do.
    public enum Polling: String, Sendable, CaseIterable {
        /// It looks for its next event for a moment before it sleeps, where the last ones came that soon.
        case auto
        /// It sleeps.
        case off
    }

    /// A version of TLS.
    public enum TLSVersion: String, Sendable, CaseIterable {
        /// TLS 1.2
        case tls12 = "1.2"
        /// TLS 1.3
        case tls13 = "1.3"
    }

    /// Where the agent listens.
    public struct Listen: Sendable, Equatable {
        /// Other nodes' links; nil means that this node only dials.
        public var mesh: Address?
        /// The control socket's path; empty stands for the default until the loader resolves it.
        public var control = ""
        /// `/healthz`, `/readyz`, `/metrics`; always loopback; nil means none.
        public var metrics: Address?
    }

    /// A node to which a link is always kept.
    public struct Peer: Sendable, Equatable {
        /// Its name, which its certificate must prove.
        public var node = ""
        /// Where it is dialled.
        public var address = Address.unset
        /// How many lanes are kept with it, at most; nil: `links.lanes`.
        public var lanes: Int?

        /// A peer without name and address, to be filled in.
        public init() {}
    }

    /// Where the directory is.
    public struct Directory: Sendable, Equatable {
        /// Whether this node serves the directory.
        public var serve = false
        /// The node that serves it, when another one does.
        public var node: String?
        /// Where that node is dialled. The loader takes it from `peers` when it is only given there.
        public var address: Address?
        /// The directory's database; empty stands for the default until the loader resolves it.
        public var store = ""
        /// How long a lost node's registrations stay before they are removed.
        public var leaseGrace: Duration = .seconds(15)
        /// How often an agent renews its registrations.
        public var renewInterval: Duration = .seconds(5)
    }

    /// One service that runs here.
    public struct Service: Sendable, Equatable {
        /// Its name in the directory.
        public var name = ""
        /// Where it accepts connections.
        public var target = Target.unset
        /// How TLS is spoken there, for targets with TLS.
        public var tls = TargetTLS()
        /// What it speaks.
        public var `protocol` = ServiceProtocol.tcp
        /// Labels by which it can be chosen.
        public var tags: [String] = []
        /// Its share of connections relative to other instances.
        public var weight = 100
        /// Free facts about the instance for the directory.
        public var metadata: [String: String] = [:]
        /// How its health is found out.
        public var check = Check()
        /// How long connecting to the target may take.
        public var connectTimeout: Duration = .seconds(5)
        /// Whether a target without TLS may be on another host.
        public var allowNonLoopback = false

        /// A service without name and target, to be filled in.
        public init() {}
    }

    /// What a service speaks.
    public enum ServiceProtocol: String, Sendable, CaseIterable {
        /// Any byte stream.
        case tcp
        /// HTTP.
        case http
    }

    /// How a service's health is found out.
    public struct Check: Sendable, Equatable {
        /// The kind of check.
        public var kind = CheckKind.tcp
        /// The time between two checks.
        public var interval: Duration = .seconds(5)
        /// How long a check may take.
        public var timeout: Duration = .seconds(1)
        /// So many failures in a row make the instance critical.
        public var failures = 2
        /// So many successes in a row make it passing again.
        public var successes = 1

        /// The default check.
        public init() {}
    }

    /// A kind of health check.
    public enum CheckKind: String, Sendable, CaseIterable {
        /// The target accepts a connection.
        case tcp
        /// No check: the instance counts as passing.
        case none
    }

    /// A local listener that leads to a service.
    public struct Upstream: Sendable, Equatable {
        /// Where local applications connect.
        public var listen = Address.unset
        /// The service.
        public var service = ""
        /// The service identity on whose behalf connections are opened; nil means the node's own.
        public var actAs: String?
        /// Only this node's instance of the service.
        public var node: String?
        /// Only this instance, written NODE/SERVICE.
        public var instance: String?
        /// How long it may take until an instance has accepted a connection.
        public var connectTimeout: Duration = .seconds(5)
        /// Whether other hosts may connect here.
        public var allowNonLoopback = false

        /// An upstream without listener and service, to be filled in.
        public init() {}
    }

    /// Identity mappings and rules: a file, or the same object in the configuration; neither means that everything
    /// is denied.
    public struct Policy: Sendable, Equatable {
        /// The policy file.
        public var file: String?
        /// The policy itself.
        public var inline: InlinePolicy?
    }

    /// A policy written into the configuration file.
    public struct InlinePolicy: Sendable, Equatable {
        /// The policy object.
        public let node: JSONNode
        /// Where it is written: the configuration file's name, or the flag or variable.
        public let source: String
        /// The policy's text as it is written, with blanks before it so that every line and column is that of the
        /// configuration file: the reader of policy files takes it and reports mistakes at their place.
        public let text: [UInt8]

        init(node: JSONNode, source: String, sourceText: [UInt8]) {
            self.node = node
            self.source = source
            // A column is a character: of each only the first byte becomes a blank.
            let blanks = sourceText[..<node.range.lowerBound].compactMap { byte -> UInt8? in
                if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { return byte }
                return byte & 0xC0 == 0x80 ? nil : UInt8(ascii: " ")
            }
            text = blanks + sourceText[node.range]
        }

        /// Whether two policies say the same, wherever they are written.
        public static func == (left: InlinePolicy, right: InlinePolicy) -> Bool {
            left.node.value == right.node.value
        }
    }

    /// Timers of links.
    public struct Links: Sendable, Equatable {
        /// The time between two pings on a quiet link.
        public var pingInterval: Duration = .seconds(10)
        /// From the TCP connection to the end of HELLO.
        public var handshakeTimeout: Duration = .seconds(10)
        /// A link on which nothing came for so long, not even the answer to a ping, is given up.
        public var idleTimeout: Duration = .seconds(30)
        /// The first reconnect comes within this time.
        public var reconnectMin: Duration = .milliseconds(100)
        /// The longest time between two reconnects.
        public var reconnectMax: Duration = .seconds(30)
        /// The same for the directory and `peers`.
        public var reconnectMaxPermanent: Duration = .milliseconds(500)
        /// How long a session waits for a new link after the loss of its own; zero ends it with the link.
        public var resumeFor: Duration = .seconds(30)
        /// How many lanes are kept with each node, at most.
        public var lanes = 1
    }

    /// Flow control of streams, in bytes.
    public struct Streams: Sendable, Equatable {
        /// The most that one stream may have under way.
        public var window = 1 << 20
        /// What a stream may send at once when it is opened.
        public var initialCredit = 16 << 10
    }

    /// What the agent takes on at most.
    public struct Limits: Sendable, Equatable {
        /// Bytes promised to all streams together.
        public var receiveBudget = 512 << 20
        /// Bytes that all sessions without a link may hold.
        public var parkedMemory = 256 << 20
        /// Bytes that the sessions of one worker may keep until their peers have acknowledged them.
        public var retainedMemory = 1 << 30
        /// Streams of peers, on all links.
        public var maxStreams = 100_000
        /// Links.
        public var maxLinks = 4096
        /// Connections that one upstream listener holds open.
        public var maxConnectionsPerUpstream = 10_000
    }

    /// What the agent writes about itself.
    public struct Log: Sendable, Equatable {
        /// The least important messages that are written.
        public var level = LogLevel.info
        /// The form.
        public var format = LogFormat.auto
    }

    /// The importance of a message.
    public enum LogLevel: String, Sendable, CaseIterable {
        /// For developers.
        case debug
        /// What happens in normal operation.
        case info
        /// What somebody should look at.
        case warning
        /// What does not work.
        case error
    }

    /// The form of log messages.
    public enum LogFormat: String, Sendable, CaseIterable {
        /// Text on a terminal, JSON otherwise.
        case auto
        /// Lines for people.
        case text
        /// One object a line.
        case json
    }

    /// How the agent ends.
    public struct Shutdown: Sendable, Equatable {
        /// How long connections may go on after SIGTERM.
        public var drainTimeout: Duration = .seconds(10)
    }
}
