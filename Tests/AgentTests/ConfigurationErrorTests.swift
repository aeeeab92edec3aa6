import Agent
import JSON
import Testing

@Suite struct ConfigurationErrorTests {
    /// An edge with a listener at `address`.
    static func edge(_ address: String) -> String {
        "edge: { listeners: [{ address: '\(address)', tls: 'disabled' }], routes: [{ path: '/', service: 'a', require: 'none' }] }"
    }

    /// A CA that listens at `address`.
    static func ca(_ address: String) -> String { "ca: { certificate: 'c', key: 'k', listen: '\(address)' }" }

    /// Members added to a good configuration from line 4 on, and the problems they make.
    static let cases: [(String, [String])] = [
        // Unknown keys
        ("lisen: {}", ["4:1 lisen unknown_key"]),
        (
            "links: { pingIntervall: '1s', idle: 1 }",
            ["4:10 links.pingIntervall unknown_key", "4:31 links.idle unknown_key"]
        ),
        ("services: [{ name: 'a', target: '127.0.0.1:1', checks: {} }]", ["4:48 services[0].checks unknown_key"]),
        ("'links.pingInterval': '1s'", ["4:1 links.pingInterval unknown_key"]),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1', check: { $schema: '' } }]",
            ["4:57 services[0].check.$schema unknown_key"]
        ),
        // Types
        ("links: []", ["4:8 links wrong_type"]), ("links: null", ["4:8 links wrong_type"]),
        ("services: {}", ["4:11 services wrong_type"]),
        ("services: [5]", ["4:12 services[0] wrong_type"]), ("workers: '4'", ["4:10 workers wrong_type"]),
        ("workers: 4.0", ["4:10 workers wrong_type"]),
        ("workers: null", ["4:10 workers wrong_type"]),
        ("tls: { legacyCertificates: 'true' }", ["4:28 tls.legacyCertificates wrong_type"]),
        ("tls: { minimumVersion: 1.3 }", ["4:24 tls.minimumVersion wrong_type"]),
        ("node: { name: 5 }", ["4:15 node.name wrong_type"]),
        ("node: { metadata: [] }", ["4:19 node.metadata wrong_type"]),
        ("node: { metadata: { a: 1 } }", ["4:24 node.metadata.a wrong_type"]),
        ("links: { pingInterval: 10 }", ["4:24 links.pingInterval wrong_type"]),
        ("streams: { window: 1048576 }", ["4:20 streams.window wrong_type"]),
        ("node: { advertise: 5 }", ["4:20 node.advertise wrong_type"]),
        ("node: { advertise: [5] }", ["4:21 node.advertise[0] wrong_type"]),
        ("listen2: 1", ["4:1 listen2 unknown_key"]), ("shutdown: 's'", ["4:11 shutdown wrong_type"]),
        // Ranges
        ("workers: 0", ["4:10 workers out_of_range"]), ("workers: 257", ["4:10 workers out_of_range"]),
        ("workers: 9223372036854775807", ["4:10 workers out_of_range"]),
        ("links: { pingInterval: '1ms' }", ["4:24 links.pingInterval out_of_range"]),
        ("links: { handshakeTimeout: '1d' }", ["4:28 links.handshakeTimeout out_of_range"]),
        ("streams: { window: '1KiB' }", ["4:20 streams.window out_of_range"]),
        ("limits: { maxStreams: -1 }", ["4:23 limits.maxStreams out_of_range"]),
        ("services: [{ name: 'a', target: '127.0.0.1:1', weight: 65536 }]", ["4:56 services[0].weight out_of_range"]),
        ("services: [{ name: 'a', target: '127.0.0.1:1', weight: 0 }]", ["4:56 services[0].weight out_of_range"]),
        // Units
        ("links: { pingInterval: '10' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '10 s' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '10sec' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '-1s' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '1.5s' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '1s1m' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '9999999999999999d' }", ["4:24 links.pingInterval bad_value"]),
        ("links: { pingInterval: '' }", ["4:24 links.pingInterval bad_value"]),
        ("streams: { window: '1MB' }", ["4:20 streams.window bad_value"]),
        ("streams: { window: '1mib' }", ["4:20 streams.window bad_value"]),
        ("streams: { window: '1' }", ["4:20 streams.window bad_value"]),
        ("streams: { window: '9999999999GiB' }", ["4:20 streams.window bad_value"]),
        // Passphrases
        (
            "ca: { certificate: 'c', key: 'k', listen: '192.0.2.1:1', passphraseFile: 'p', passphraseVariable: 'P' }",
            ["4:99 ca.passphraseVariable conflict"]
        ),
        (
            "services: [{ name: 'a', target: 'tls://h:1', tls: { passphraseFile: 'p' } }]",
            ["4:69 services[0].tls.passphraseFile conflict"]
        ),
        // What is fetched
        ("ocsp: { responder: 'ftp://a.test/' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'http://' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'http://user@a.test/' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'http://a.test/#x' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'http://a b/' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'http://unix:/x' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'http://10.0.0.256/' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { responder: 'https://a.test:0x50/' }", ["4:20 ocsp.responder bad_value"]),
        ("ocsp: { peers: 'hard' }", ["4:16 ocsp.peers missing_key"]),
        ("ocsp: { intermediates: { mode: 'hard' } }", ["4:32 ocsp.intermediates.mode missing_key"]),
        ("tls: { ct: { mode: 'require' } }", ["4:20 tls.ct.mode missing_key"]),
        ("tls: { ct: { nodes: [{ node: 'b', mode: 'report' }] } }", ["4:41 tls.ct.nodes[0].mode missing_key"]),
        ("tls: { ct: { mode: 'maybe' } }", ["4:20 tls.ct.mode bad_value"]),
        ("tls: { ct: { minimum: 0 } }", ["4:23 tls.ct.minimum out_of_range"]),
        ("ocsp: { allowedHosts: ['*'] }", ["4:24 ocsp.allowedHosts[0] bad_value"]),
        // Choices, names, paths
        ("log: { level: 'verbose' }", ["4:15 log.level bad_value"]),
        ("tls: { minimumVersion: '1.1' }", ["4:24 tls.minimumVersion bad_value"]),
        ("node: { name: '' }", ["4:15 node.name bad_value"]), ("node: { name: 'a b' }", ["4:15 node.name bad_value"]),
        ("node: { name: '-a' }", ["4:15 node.name bad_value"]),
        ("node: { name: 'a.' }", ["4:15 node.name bad_value"]),
        ("node: { name: 'a..b' }", ["4:15 node.name bad_value"]), ("node: { name: 'ä' }", ["4:15 node.name bad_value"]),
        ("node: { name: '\(String(repeating: "a", count: 64))' }", ["4:15 node.name bad_value"]),
        ("node: { name: '\(String(repeating: "a", count: 63))' }", []),
        ("node: { stateDirectory: '' }", ["4:25 node.stateDirectory bad_value"]),
        ("node: { stateDirectory: 'a\\0b' }", ["4:25 node.stateDirectory bad_value"]),
        ("node: { metadata: { 'a b': 'x' } }", ["4:21 node.metadata.a b bad_value"]),
        ("node: { stateDirectory: '/\(String(repeating: "d", count: 100))' }", ["listen.control bad_value"]),
        // Addresses
        ("node: { advertise: 'x' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: ':80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: 'x:0' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: 'x:65536' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: 'x:+8' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: '::1:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: '[::g]:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: '1.2.3.256:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: '0.0.0.0:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: 'a b:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: 'unix:/x' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: ['a:1', 'a:1'] }", ["4:28 node.advertise[1] duplicate"]),
        ("node: { advertise: '-a:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("node: { advertise: '127.1:80' }", ["4:20 node.advertise[0] bad_value"]),
        ("upstreams: [{ listen: 'host.example:80', service: 'a' }]", ["4:23 upstreams[0].listen bad_value"]),
        (
            "services: [{ name: 'a', target: 'unix:/\(String(repeating: "x", count: 107))' }]",
            ["4:33 services[0].target bad_value"]
        ),
        ("services: [{ name: 'a', target: 'unix:' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'http://127.0.0.1:1' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'https://127.0.0.1:1/x' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'https://u@x:1' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'https://' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'tls://127.0.0.1' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'tls://unix:/x' }]", ["4:33 services[0].target bad_value"]),
        ("services: [{ name: 'a', target: 'tls://0.0.0.0:1' }]", ["4:33 services[0].target bad_value"]),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1', tls: { ca: 'x' } }]",
            ["4:59 services[0].tls.ca conflict"]
        ),
        (
            "services: [{ name: 'a', target: 'https://127.0.0.1:1', tls: { certificate: 'x' } }]",
            ["4:76 services[0].tls.certificate conflict"]
        ),
        (
            "services: [{ name: 'a', target: 'https://127.0.0.1:1', tls: { serverName: 'a b' } }]",
            ["4:75 services[0].tls.serverName bad_value"]
        ),
        // Missing
        ("services: [{ name: 'a' }]", ["4:12 services[0] missing_key"]),
        ("peers: [{}]", ["4:9 peers[0] missing_key", "4:9 peers[0] missing_key"]),
        ("upstreams: [{ service: 'a' }]", ["4:13 upstreams[0] missing_key"]),
        // Loopback
        ("services: [{ name: 'a', target: '10.0.0.1:80' }]", ["4:33 services[0].target not_loopback"]),
        ("services: [{ name: 'a', target: 'db.example:80' }]", ["4:33 services[0].target not_loopback"]),
        ("upstreams: [{ listen: '0.0.0.0:80', service: 'a' }]", ["4:23 upstreams[0].listen not_loopback"]),
        ("upstreams: [{ listen: '192.0.2.1:80', service: 'a' }]", ["4:23 upstreams[0].listen not_loopback"]),
        // Duplicates
        (
            "services: [{ name: 'a', target: '127.0.0.1:1' },\n{ name: 'a', target: '127.0.0.1:2' }]",
            ["5:9 services[1].name duplicate"]
        ),
        (
            "upstreams: [{ listen: '127.0.0.1:1', service: 'a' },\n{ listen: 'localhost:1', service: 'b' }]",
            ["5:11 upstreams[1].listen duplicate"]
        ),
        ("upstreams: [{ listen: '127.0.0.1:7400', service: 'a' }]", ["4:23 upstreams[0].listen duplicate"]),
        (edge("127.0.0.1:7400"), ["4:32 edge.listeners[0].address duplicate"]),
        (
            "upstreams: [{ listen: '127.0.0.1:1', service: 'a' }],\n\(edge("127.0.0.1:1"))",
            ["5:32 edge.listeners[0].address duplicate"]
        ),
        (
            "upstreams: [{ listen: 'unix:/x', service: 'a' }],\n\(edge("unix:/x"))",
            ["5:32 edge.listeners[0].address duplicate"]
        ),
        ("upstreams: [{ listen: '127.0.0.1:0', service: 'a' }],\n\(edge("127.0.0.1:0"))", []),
        ("\(ca("127.0.0.1:1")), \(edge("127.0.0.1:1"))", ["4:91 edge.listeners[0].address duplicate"]),
        (
            "\(ca("127.0.0.1:1")), upstreams: [{ listen: '127.0.0.1:1', service: 'a' }]",
            ["4:82 upstreams[0].listen duplicate"]
        ),
        ("\(ca("127.0.0.1:7400"))", ["4:43 ca.listen duplicate"]),
        ("peers: [{ node: 'a', address: 'a:1' }, { node: 'a', address: 'b:1' }]", ["4:48 peers[1].node duplicate"]),
        ("services: [{ name: 'a', target: '127.0.0.1:1', tags: ['x', 'x'] }]", ["4:60 services[0].tags[1] duplicate"]),
        // Conflicts
        ("services: [{ name: 'mesh.x', target: '127.0.0.1:1' }]", ["4:20 services[0].name bad_value"]),
        ("services: [{ name: 'mesh', target: '127.0.0.1:1' }]", ["4:20 services[0].name bad_value"]),
        ("services: [{ name: 'meshed', target: '127.0.0.1:1' }]", []),
        ("services: [{ name: 'a', target: '127.0.0.1:7400' }]", ["4:33 services[0].target conflict"]),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1', check: { timeout: '6s' } }]",
            ["4:66 services[0].check.timeout conflict"]
        ),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1' }], upstreams: [{ listen: '127.0.0.1:1', service: 'b' }]",
            ["4:73 upstreams[0].listen conflict"]
        ),
        (
            "upstreams: [{ listen: '127.0.0.1:1', service: 'a', instance: 'n/b' }]",
            ["4:62 upstreams[0].instance conflict"]
        ),
        (
            "upstreams: [{ listen: '127.0.0.1:1', service: 'a', node: 'm', instance: 'n/a' }]",
            ["4:73 upstreams[0].instance conflict"]
        ),
        (
            "upstreams: [{ listen: '127.0.0.1:1', service: 'a', instance: 'a' }]",
            ["4:62 upstreams[0].instance bad_value"]
        ),
        (
            "upstreams: [{ listen: '127.0.0.1:1', service: 'a', instance: 'n/a/b' }]",
            ["4:62 upstreams[0].instance bad_value"]
        ),
        ("links: { idleTimeout: '10s' }", ["4:23 links.idleTimeout conflict"]),
        ("links: { pingInterval: '20s' }", ["4:24 links.pingInterval conflict"]),
        ("links: { reconnectMin: '1s' }", ["4:24 links.reconnectMin conflict"]),
        ("links: { reconnectMax: '50ms' }", ["4:24 links.reconnectMax conflict"]),
        ("streams: { window: '16KiB', initialCredit: '1MiB' }", ["4:44 streams.initialCredit conflict"]),
        ("streams: { window: '1GiB' }", ["4:20 streams.window conflict"]),
        ("node: { name: 'a' }, peers: [{ node: 'a', address: 'a:1' }]", ["4:38 peers[0].node conflict"]),
    ]

    @Test(arguments: cases.indices) func problemsHaveTheirPlace(index: Int) {
        let (members, problems) = Self.cases[index]
        #expect(ConfigurationFixture.problems(ConfigurationFixture.text(members)) == problems, "\(members)")
    }

    /// The same for whole files.
    static let files: [(String, [String])] = [
        ("", ["1:1 bad_syntax"]), ("{", ["1:2 bad_syntax"]), ("{ log: {}, log: {} }", ["1:12 bad_syntax"]),
        ("\u{FEFF}{}", ["1:1 bad_syntax"]),
        ("[]", ["1:1 wrong_type", "trust.servers missing_key", "identity.certificate missing_key"]),
        ("{}", ["trust.servers missing_key", "identity.certificate missing_key"]),
        (
            "{ listen: { mesh: '127.0.0.1:1' } }",
            ["trust.servers missing_key", "trust.clients missing_key", "identity.certificate missing_key"]
        ),
        ("{ trust: { ca: 'a' }, identity: { certificate: 'c' } }", ["1:48 identity.certificate conflict"]),
        ("{ trust: { ca: 'a' }, identity: { key: 'c' } }", ["1:40 identity.key conflict"]),
        (
            "{ trust: { ca: 'a' }, identity: { certificate: 'c', key: 'k', pkcs12: 'p' } }",
            ["1:48 identity.certificate conflict", "1:58 identity.key conflict"]
        ),
        (
            "{ trust: { ca: 'a' }, identity: { passphraseFile: 'p' } }",
            ["1:51 identity.passphraseFile conflict", "identity.certificate missing_key"]
        ),
        ("{ trust: { ca: [] }, identity: { pkcs12: 'p' } }", ["1:16 trust.servers missing_key"]),
        (
            "{ trust: { ca: 5 }, identity: { pkcs12: 5 } }",
            ["1:16 trust.ca wrong_type", "1:41 identity.pkcs12 wrong_type"]
        ),
        ("{ trust: { ca: 'a', domain: 'A b' }, identity: { pkcs12: 'p' } }", ["1:29 trust.domain bad_value"]),
    ]

    @Test(arguments: files.indices) func filesHaveTheirProblems(index: Int) {
        let (text, problems) = Self.files[index]
        #expect(ConfigurationFixture.problems(text).sorted() == problems.sorted(), "\(text)")
    }

    static let identity = "trust: { ca: 'a' }, identity: { pkcs12: 'p' }"

    @Test(arguments: [
        (
            "directory: { serve: true, node: 'x', address: 'x:1' }",
            ["directory.node conflict", "directory.address conflict"]
        ),
        ("directory: { node: 'x' }", ["directory.node missing_key"]),
        ("directory: { address: 'x:1' }", ["directory.address missing_key"]),
        ("node: { name: 'x' }, directory: { node: 'x', address: 'x:1' }", ["directory.node conflict"]),
        ("node: { name: 'x' }, directory: { node: 'x', serve: true }", []),
        ("directory: { node: 'x', address: 5 }", ["directory.address wrong_type"]),
        ("directory: { leaseGrace: '6s' }", ["directory.leaseGrace conflict"]),
        ("directory: { renewInterval: '10s' }", ["directory.renewInterval conflict"]),
        ("listen: { metrics: '0.0.0.0:1' }", ["listen.metrics bad_value"]),
        ("listen: { metrics: '10.0.0.1:1' }", ["listen.metrics not_loopback"]),
        ("listen: { mesh: '127.0.0.1:1', metrics: '127.0.0.1:1' }", ["listen.metrics duplicate"]),
        (
            "directory: { node: 'x', address: 'x:1' }, listen: { metrics: '127.0.0.1:1' }, \(edge("127.0.0.1:1"))",
            ["edge.listeners[0].address duplicate"]
        ),
        ("listen: { mesh: 'unix:/x' }", ["listen.mesh bad_value"]),
        ("policy: { file: 'p', inline: {} }", ["policy.inline conflict"]),
        ("policy: { inline: [] }", ["policy.inline wrong_type"]),
    ])
    func settingsThatExcludeOrNeedEachOther(members: String, problems: [String]) {
        let found = ConfigurationFixture.problems("{ \(Self.identity), \(members) }")
        #expect(found.map { $0.split(separator: " ").dropFirst().joined(separator: " ") } == problems, "\(members)")
    }

    /// Whichever two listeners have one address, it is said in the same words, with the place of the earlier one.
    @Test(arguments: [
        ("listen: { mesh: '127.0.0.1:1', metrics: '127.0.0.1:1' }", "listen.metrics", "listen.mesh"),
        ("listen: { metrics: '127.0.0.1:1' }, \(ca("127.0.0.1:1"))", "ca.listen", "listen.metrics"),
        ("\(ca("127.0.0.1:1")), \(edge("127.0.0.1:1"))", "edge.listeners[0].address", "ca.listen"),
    ])
    func twoListenersAtOneAddress(members: String, key: String, first: String) throws {
        let text = "{ \(Self.identity), directory: { node: 'x', address: 'x:1' }, \(members) }"
        let error = #expect(throws: ConfigurationError.self) { try ConfigurationFixture.load(text) }
        let issue = try #require(error?.issues.first { $0.code == .duplicate })
        #expect(error?.issues.count { $0.code == .duplicate } == 1 && issue.key == key, "\(issue)")
        #expect(issue.message.hasPrefix("127.0.0.1:1 is taken by \(first) (mesh.json:1:"), "\(issue)")
        #expect(issue.hint == "give each listener its own port")
    }

    @Test func everyProblemIsReportedAtOnceInTheFilesOrder() {
        let text = """
            {
              identity: { certificate: "n.crt" },
              trust: { ca: "ca.crt" },
              lissten: {},
              services: [
                { name: "a", target: "10.0.0.1:1", weight: "x" },
                { name: "a", target: "127.0.0.1:1", checks: 1 },
              ],
              workers: -1,
            }
            """
        #expect(
            ConfigurationFixture.problems(
                text, flags: ["log-level": "x", "log-levle": "info"], environment: ["MESH_TLS_MINIMUM_VERSION": "2"])
                == [
                    "2:28 identity.certificate conflict", "4:3 lissten unknown_key",
                    "6:26 services[0].target not_loopback", "6:48 services[0].weight wrong_type",
                    "7:13 services[1].name duplicate", "7:41 services[1].checks unknown_key",
                    "9:12 workers out_of_range",
                    "environment MESH_TLS_MINIMUM_VERSION tls.minimumVersion bad_value",
                    "flag --log-level log.level bad_value", "flag --log-levle unknown_key",
                ])
    }

    @Test(arguments: [
        ("lisen: {}", "mesh.json:4:1: lisen: unknown key \"lisen\"\n    did you mean \"listen\"?"),
        (
            "pingInterval: '1s'",
            "mesh.json:4:1: pingInterval: unknown key \"pingInterval\"\n    did you mean \"links.pingInterval\"?"
        ),
        (
            "'log.level': 'info'",
            "mesh.json:4:1: log.level: unknown key \"log.level\"\n    write it as nested objects: {\"log\": {\"level\": …}}"
        ),
        (
            "xyzzy: 1",
            "mesh.json:4:1: xyzzy: unknown key \"xyzzy\"\n    known here: audit, ca, directory, edge, identity, limits, links, listen, log, node, ocsp, peers, policy, polling, services, shutdown, streams, tls, trust, upstreams, workers"
        ),
        (
            "links: { pingInterval: 10 }",
            "mesh.json:4:24: links.pingInterval: expected a duration from 100ms to 1h, found an integer\n    write a unit: \"10s\" or \"10ms\""
        ),
        (
            "log: { level: 'inf' }",
            "mesh.json:4:15: log.level: expected \"debug\" or \"info\" or \"warning\" or \"error\", found \"inf\"\n    did you mean \"info\"?"
        ),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1', protocol: 'https' }]",
            "mesh.json:4:58: services[0].protocol: expected \"tcp\" or \"http\", found \"https\"\n    \"http\", and for TLS to the target write target: \"https://HOST:PORT\""
        ),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1', protocol: 'htpp' }]",
            "mesh.json:4:58: services[0].protocol: expected \"tcp\" or \"http\", found \"htpp\"\n    did you mean \"http\"?"
        ),
        (
            "services: [{ name: 'a', target: '127.0.0.1:1' },{ name: 'a', target: '127.0.0.1:2' }]",
            "mesh.json:4:57: services[1].name: there is another service \"a\" (mesh.json:4:20)\n    a node has one instance of a service; choose another name or remove one of them"
        ),
        (
            "tls: { minimumVersion: 1.3 }",
            "mesh.json:4:24: tls.minimumVersion: expected \"1.2\" or \"1.3\", found a number with fraction or exponent\n    write it in quotation marks"
        ),
    ])
    func messagesSayHowToMendIt(members: String, message: String) throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationFixture.load(ConfigurationFixture.text(members))
        }
        #expect(error.description == message)
    }

    @Test func aMissingFileIsOneClearError() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(file: "/nowhere/mesh.json")
        }
        #expect(error.issues.map(\.code) == [.unreadableFile])
        #expect(error.description.contains("/nowhere/mesh.json: No such file or directory"))
        #expect(throws: ConfigurationError.self) { try ConfigurationLoader.load(file: "/tmp") }
    }

    @Test func warnings() throws {
        func warnings(_ members: String) throws -> [String] {
            try ConfigurationFixture.load("{ \(Self.identity), \(members) }").warnings.map(\.key)
        }
        #expect(try warnings("") == ["directory.serve", "policy.file"])
        #expect(try warnings("directory: { serve: true }, policy: { file: 'p' }") == ["directory.serve"])
        #expect(
            try warnings("directory: { serve: true }, policy: { file: 'p' }, listen: { mesh: '0.0.0.0:1' }") == [
                "listen.mesh"
            ])
        #expect(
            try warnings(
                "directory: { serve: true }, policy: { file: 'p' }, listen: { mesh: '0.0.0.0:1' }, node: { advertise: 'x:1' }"
            ) == [])
        #expect(
            try warnings("directory: { store: 'x', node: 'd', address: 'd:1' }, policy: { file: 'p' }") == [
                "directory.store"
            ])
        let both = try ConfigurationFixture.load(
            "{ trust: { ca: 'a', servers: 'b', clients: 'c' }, identity: { pkcs12: 'p' } }")
        #expect(both.warnings.map(\.key).contains("trust.ca"))
    }
}
