import PKI
import TLS
import Testing

/// Pins in handshakes, of both ends.
@Suite struct PinTests {
    /// Alpha dials Beta; `role` is the end that has pins.
    private func handshake(
        _ role: TLSContext.Role, _ rules: [PinPolicy.Rule]
    ) throws -> (pair: Pair, judge: Outcome, judged: Outcome) {
        var judging = try Fixture.configuration(role)
        judging.pins = PinPolicy(rules: rules)
        let context = try TLSContext(judging)
        let other = try Fixture.context(role == .client ? .server : .client)
        let pair = try Fixture.unconnected(role == .client ? context : other, role == .client ? other : context)
        let (client, server) = pair.connect()
        return role == .client ? (pair, client, server) : (pair, server, client)
    }

    private func pin(of role: TLSContext.Role) throws -> CertificatePin {
        CertificatePin(of: try Fixture.leaf(role).credentials().leaf.publicKey)
    }

    @Test(arguments: [TLSContext.Role.client, .server])
    func matchingPinsPass(_ role: TLSContext.Role) throws {
        let (peer, node) = role == .client ? (TLSContext.Role.server, "Beta") : (.client, "Alpha")
        let (pair, judge, judged) = try handshake(role, [.init(node: node, pins: [try pin(of: peer)])])
        #expect(judge.error == nil && judged.error == nil)
        #expect((role == .client ? pair.client : pair.server).pinOutcome == .matched)
    }

    @Test(arguments: [TLSContext.Role.client, .server])
    func enforcedPinsRefuse(_ role: TLSContext.Role) throws {
        let node = role == .client ? "Beta" : "Alpha"
        let foreign = CertificatePin(of: try Authority(name: "Somebody").trust().roots[0].publicKey)
        let (pair, judge, judged) = try handshake(role, [.init(node: node, pins: [foreign])])
        #expect(judge.error?.certificate?.reason == .pinMismatch)
        #expect(judged.error?.alert == .badCertificate)
        #expect((role == .client ? pair.client : pair.server).peerIdentity == nil)
    }

    @Test(arguments: [TLSContext.Role.client, .server])
    func reportedPinsOnlyReport(_ role: TLSContext.Role) throws {
        let node = role == .client ? "Beta" : "Alpha"
        let foreign = CertificatePin(of: try Authority(name: "Somebody").trust().roots[0].publicKey)
        let (pair, judge, judged) = try handshake(role, [.init(node: node, pins: [foreign], mode: .report)])
        #expect(judge.error == nil && judged.error == nil)
        #expect((role == .client ? pair.client : pair.server).pinOutcome.code == "mismatch")
    }
}
