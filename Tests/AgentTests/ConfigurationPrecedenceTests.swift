import Agent
import Arguments
import JSON
import Testing

@Suite struct ConfigurationPrecedenceTests {
    static let text = ConfigurationFixture.text("log: { level: 'debug' }")

    @Test func flagBeforeEnvironmentBeforeFileBeforeDefault() throws {
        let none = try ConfigurationFixture.load(ConfigurationFixture.text(""))
        #expect(none.configuration.log.level == .info)
        #expect(none.origin(of: "log.level") == .default)

        let file = try ConfigurationFixture.load(Self.text)
        #expect(file.configuration.log.level == .debug)
        #expect(file.origin(of: "log.level") == .file("mesh.json", line: 4, column: 15))

        let variable = try ConfigurationFixture.load(Self.text, environment: ["MESH_LOG_LEVEL": "warning"])
        #expect(variable.configuration.log.level == .warning)
        #expect(variable.origin(of: "log.level") == .environment("MESH_LOG_LEVEL"))

        let flag = try ConfigurationFixture.load(
            Self.text, flags: ["log-level": "error"], environment: ["MESH_LOG_LEVEL": "warning"])
        #expect(flag.configuration.log.level == .error)
        #expect(flag.origin(of: "log.level") == .flag("--log-level"))
    }

    @Test func anEmptyVariableIsNotSet() throws {
        let loaded = try ConfigurationFixture.load(Self.text, environment: ["MESH_LOG_LEVEL": ""])
        #expect(loaded.configuration.log.level == .debug)
    }

    /// The flags of the table reach the loader as they were given.
    @Test func flagsFollowTheTable() throws {
        let specs = ConfigurationFlags.specs()
        #expect(specs.map(\.name) == ConfigurationTable.keys.filter { !$0.isElement }.map(\.flag))
        let command = CommandSpec("mesh-agent", "The agent.", flags: specs)
        let outcome = try command.parse([
            "--listen-mesh=127.0.0.1:5", "--log-level", "error", "--no-directory-serve", "--tls-legacy-certificates",
        ])
        guard case .run(let invocation) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        let texts = ConfigurationFlags.texts(of: invocation)
        #expect(
            texts == [
                "listen-mesh": "127.0.0.1:5", "log-level": "error", "directory-serve": "false",
                "tls-legacy-certificates": "true",
            ])
        let loaded = try ConfigurationFixture.load(Self.text, flags: texts)
        #expect(loaded.configuration.listen.mesh == .host("127.0.0.1", port: 5))
        #expect(!loaded.configuration.directory.serve)
    }

    /// Every kind of value from its text.
    @Test func textsBecomeValues() throws {
        let loaded = try ConfigurationFixture.load(
            ConfigurationFixture.text(""),
            flags: [
                "workers": "2", "tls-legacy-certificates": "true", "links-ping-interval": "2s",
                "streams-window": "64KiB",
                "node-advertise": "a:1, b:2", "trust-ca": "x.crt", "listen-mesh": "127.0.0.1:1", "node-name": "n",
                "services": "[{ name: 'a', target: '127.0.0.1:2', weight: 5 }]", "node-metadata": "{ k: 'v' }",
            ],
            environment: ["MESH_TLS_MINIMUM_VERSION": "1.2", "MESH_PEERS": "[]", "MESH_NODE_STATE_DIRECTORY": "./s"])
        let configuration = loaded.configuration
        #expect(configuration.workers == 2)
        #expect(configuration.tls.legacyCertificates)
        #expect(configuration.tls.minimumVersion == .tls12)
        #expect(configuration.links.pingInterval == .seconds(2))
        #expect(configuration.streams.window == 64 << 10)
        #expect(configuration.node.advertise.map(\.description) == ["a:1", "b:2"])
        #expect(configuration.node.metadata == ["k": "v"])
        #expect(configuration.trust.clients == ["x.crt"])
        #expect(loaded.origin(of: "trust.clients") == .flag("--trust-ca"))
        #expect(configuration.services.map(\.weight) == [5])
        #expect(loaded.origin(of: "services[0].weight") == .flag("--services"))
        #expect(loaded.origin(of: "services[0].protocol") == .default)
        #expect(configuration.node.stateDirectory == "./s")
    }

    @Test func nullUnsetsWhatTheFileSets() throws {
        let text = ConfigurationFixture.text("").replacing("serve: true", with: "node: 'd', address: 'd:1'")
        let loaded = try ConfigurationFixture.load(text, flags: ["listen-mesh": "null"])
        #expect(loaded.configuration.listen.mesh == nil)
        #expect(loaded.origin(of: "listen.mesh") == .flag("--listen-mesh"))
    }

    /// A flag for a list replaces the file's list with all that was in it.
    @Test func aListIsReplacedAsAWhole() throws {
        let text = ConfigurationFixture.text("services: [{ name: 'a', target: '127.0.0.1:1', weight: 9 }]")
        let loaded = try ConfigurationFixture.load(text, flags: ["services": "[{ name: 'b', target: '127.0.0.1:1' }]"])
        #expect(loaded.configuration.services.map(\.weight) == [100])
        #expect(loaded.origin(of: "services[0].weight") == .default)
    }

    @Test(arguments: [
        ("workers", "two"), ("workers", "2.0"), ("workers", ""), ("workers", " 2"), ("tls-legacy-certificates", "yes"),
        ("links-ping-interval", "2"),
        ("services", "[{"), ("services", "x"), ("node-metadata", "{k:1}"), ("node-name", "a b"), ("listen-mesh", "x"),
        ("listen-mesh", ""),
    ])
    func badTextsAreRefusedWithTheirFlag(flag: String, text: String) throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationFixture.load(ConfigurationFixture.text(""), flags: [flag: text])
        }
        #expect(error.issues.count == 1)
        #expect(error.issues[0].origin == .flag("--\(flag)"))
    }

    @Test func unknownVariablesAreWarnedAbout() throws {
        let loaded = try ConfigurationFixture.load(
            Self.text, environment: ["MESH_LISTEN_MEHS": "x", "MESH_CONFIG": "y", "HOME": "z", "MESHUGGE": "1"])
        #expect(loaded.warnings.map(\.code) == [.unknownVariable])
        #expect(loaded.warnings[0].origin == .environment("MESH_LISTEN_MEHS"))
        #expect(loaded.warnings[0].hint == "did you mean MESH_LISTEN_MESH?")
    }

    @Test func aConfigurationWithoutAFile() throws {
        let loaded = try ConfigurationLoader.load(
            file: nil, flags: ["trust-ca": "ca", "identity-pkcs12": "p", "directory-serve": "true", "policy-file": "p"])
        #expect(loaded.configuration.identity.pkcs12 == "p")
        #expect(loaded.configuration.node.stateDirectory == "state")
        #expect(loaded.file == nil)
    }
}
