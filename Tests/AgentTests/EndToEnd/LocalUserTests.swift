import Agent
import Foundation
import JSON
import Testing

extension EndToEnd {
    /// What a policy says of users by name and by group, at the doors of their own host.
    @Suite struct LocalUserRights {
        private static let supplementary = ["setpriv", "--groups", "0,4242", "--"]
        private static let primary = ["setpriv", "--regid", "4242", "--clear-groups", "--"]

        /// A client whose users may connect to three services; a name and a group are denied one each.
        private static func serve(_ mesh: TestMesh) throws -> TestNode {
            let target = try mesh.echo().address
            let services = ["named", "grouped", "free"]
            mesh.policy.identities += [
                ["match": ["user": .string(try ownName())], "groups": "by-name"],
                ["match": ["gid": 4242], "groups": "by-group"],
            ]
            mesh.policy.rules += [
                ["allow": "act-as", "from": "node:Client", "to": "uid:*"],
                ["allow": "connect", "from": "node:Client", "to": .init(services)],
                ["deny": "connect", "from": "group:by-name", "to": "named"],
                ["deny": "connect", "from": "group:by-group", "to": "grouped"],
            ]
            for service in services { mesh.policy.provide(service, at: "Server") }
            try mesh.node("Directory", directory: true)
            let client = try mesh.node("Client")
            try mesh.node("Server") { node in
                for service in services { node.offer(service, target) }
            }
            try mesh.start()
            for service in services { try client.waitInstances(of: service, at: ["Server"]) }
            return client
        }

        private static func ownName() throws -> String {
            guard let entry = try UserDatabase.entry(of: getuid()) else {
                throw Failure("who runs the tests has no name")
            }
            return entry.name
        }

        @Test func aDenyOfANameBindsConnections() throws {
            try withMesh { mesh in
                let client = try Self.serve(mesh)
                let (_, refusal) = try client.connect("named")
                try demandEqual(refusal?.reason, "denied_by_rule", refusal?.text ?? "connected")
                let (wire, other) = try client.connect("free")
                try demand(other == nil, other?.text ?? "")
                try wire.echo()
                let why = try runProgram(
                    [TestMesh.binaries + "/mesh", "why", "--control", client.controlPath, "--from", "uid:\(getuid())"]
                        + ["--to", "named"])
                try demand(why.status == 3 && why.output.contains("(denied_by_rule)"), why.output)
                try demand(why.output.contains("(\(try Self.ownName())) in group"), why.output)
                // A stream keeps the name, and a new policy is asked with it.
                client.policy.rules.append(["deny": "connect", "from": "group:by-name", "to": "free"])
                try demandEqual(try client.reload().status, 200)
                switch wire.receive() {
                case .end, .reset: break
                case let received: throw Failure("the stream goes on: \(received)")
                }
            }
        }

        @Test func aDenyOfAGroupBindsWhoHasItBesidesHisOwn() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let client = try Self.serve(mesh)
                func run(_ arguments: [String], as prefix: [String]) throws -> (status: Int32, output: String) {
                    try runProgram(
                        [TestMesh.binaries + "/mesh", arguments[0], "--control", client.controlPath]
                            + arguments.dropFirst(), prefix: prefix)
                }
                for (prefix, groups) in [(Self.supplementary, "0, 4242"), (Self.primary, "4242")] {
                    let connected = try run(["connect", "grouped"], as: prefix)
                    try demand(
                        connected.status == 3 && connected.output.contains("denied_by_rule"),
                        "\(prefix): \(connected)")
                    let other = try run(["connect", "free"], as: prefix)
                    try demand(other.status == 0, "\(prefix): \(other)")
                    // Who asks about himself has the groups that he has now.
                    let why = try run(["why", "--from", "uid:0", "--to", "grouped"], as: prefix)
                    try demand(why.status == 3 && why.output.contains("(denied_by_rule)"), why.output)
                    try demand(why.output.contains(" \(groups) is uid:0"), why.output)
                }
                let without = try run(["connect", "grouped"], as: [])
                try demand(without.status == 0, "\(without)")
                // Of somebody else there is only what the host's lists say, and the answer says what that is.
                let daemon = try run(["why", "--from", "uid:1", "--to", "grouped"], as: [])
                try demand(daemon.output.contains("uid 1 (daemon) in group 1"), daemon.output)
            }
        }

        @Test func theHostsLists() throws {
            let root = try #require(try UserDatabase.entry(of: 0))
            #expect(root.name == "root" && root.gid == 0)
            #expect(UserDatabase.groups(of: root).contains(0))
            #expect(try UserDatabase.entry(of: 4_000_000_000) == nil)
        }
    }
}
