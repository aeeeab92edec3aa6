import Agent
import Foundation
import Testing

/// A reload says of every key that needs no restart that it was applied: here stands for each what shows that it is.
@Suite struct ReloadTableTests {
    private enum Evidence {
        /// A test changes it, or another key that takes the same way as a whole, and sees the difference.
        case test(String)
        /// Nothing keeps a copy: this file of the sources asks the configuration in force whenever it needs the value.
        case asked(String)
    }

    /// By key, or by the beginning of keys that are put in force together; the longest that fits counts.
    private static let table: [String: Evidence] = [
        "node.advertise": .test("aListenerThatWaitsForARestart"), "node.metadata": .asked("Control/DirectoryClient"),
        "identity.": .test("newCertificateIsPickedUp"), "identity.renew.": .asked("Enrolment/IdentityRenewal"),
        "trust.": .test("withoutAListOfTheIssuer"), "tls.": .test("pinsByReload"), "ocsp.": .test("uselessResponders"),
        "peers": .test("everyLaneMoves"), "directory.renewInterval": .asked("Control/DirectoryClient"),
        "services": .test("healthChecksShakeHands"), "upstreams": .test("upstreamsChangeInPlace"),
        "edge.": .test("certificatesBySNIAndReload"), "policy.": .test("policyChangeClosesWhatLostItsRight"),
        "links.lanes": .test("theSmallerNumberCounts"), "links.handshakeTimeout": .test("handshakeTimeout"),
        "links.pingInterval": .test("pingsAndIdleTime"), "links.idleTimeout": .test("pingsAndIdleTime"),
        "links.reconnectMin": .test("reconnects"), "links.reconnectMax": .test("reconnects"),
        "links.reconnectMaxPermanent": .test("reconnects"), "limits.maxStreams": .test("tooManyStreams"),
        "limits.maxLinks": .test("whatTakesAPlace"),
        "limits.maxConnectionsPerUpstream": .asked("Lifecycle/Agent+Listeners"),
        "listen.mesh": .test("theMeshListenerMoves"), "audit.sealPeers": .asked("Audit/SealCourier"),
        "log.level": .test("upstreamsChangeInPlace"), "shutdown.drainTimeout": .asked("Lifecycle/Agent+End"),
    ]

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

    private static func entry(for key: String) -> String? {
        table.keys.filter { $0 == key || key.hasPrefix($0) && ($0.hasSuffix(".") || key.hasPrefix($0 + "[")) }
            .max { $0.count < $1.count }
    }

    @Test func everyKeyThatNeedsNoRestartChangesSomething() throws {
        let keys = ConfigurationTable.keys.filter { $0.effect == .reload }.map(\.name)
        for key in keys {
            #expect(
                Self.entry(for: key) != nil, "\(key): show that a reload applies it, or mark it as needing a restart")
        }
        let used = Set(keys.compactMap(Self.entry))
        #expect(Set(Self.table.keys) == used, "entries without a key")
    }

    @Test func theEvidenceIsThere() throws {
        let files = try FileManager.default.subpathsOfDirectory(atPath: Self.root.path).filter {
            $0.hasSuffix(".swift")
        }
        let tests = try files.map { try String(contentsOf: Self.root.appendingPathComponent($0), encoding: .utf8) }
        let sources = Self.root.deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources/Agent")
        for (key, evidence) in Self.table {
            switch evidence {
            case .test(let name):
                #expect(tests.contains { $0.contains("func \(name)(") }, "\(key): there is no test \(name)")
            case .asked(let file):
                let text = try String(
                    contentsOf: sources.appendingPathComponent(file + ".swift"), encoding: .utf8)
                let last = key.split(separator: ".").last.map(String.init) ?? key
                #expect(text.contains(last == "renew" ? "identity.renew" : last), "\(key): \(file) does not ask for it")
            }
        }
    }
}
