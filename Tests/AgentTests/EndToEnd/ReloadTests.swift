import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What a reload says of what it read and did not put in force.
    @Suite struct Reloads {
        private func addresses(of node: TestNode, at directory: TestNode) throws -> [String] {
            let nodes = try directory.control.get("/v1/directory/nodes").json["nodes"]?.array ?? []
            let found = nodes.first { $0["name"]?.string == node.name || $0["node"]?.string == node.name }
            return found?["addresses"]?.array?.compactMap(\.string) ?? []
        }

        /// A listener that waits for a restart is said to wait each time, and others are not sent to it before.
        @Test func aListenerThatWaitsForARestart() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha")
                try mesh.start()
                try Deadline.until("it is registered") {
                    try addresses(of: alpha, at: directory) == [alpha.meshAddress]
                }
                alpha.set("listen.mesh", .string("\(alpha.host):7499"))
                for attempt in 1...2 {
                    let answer = try alpha.reload().json
                    let waiting = answer["needRestart"]?.array?.compactMap(\.string) ?? []
                    try demandEqual(
                        waiting, ["listen.mesh: \(alpha.meshAddress) → \(alpha.host):7499 (needs a restart)"],
                        "reload \(attempt)")
                    try demandEqual(answer["applied"], [], "reload \(attempt)")
                }
                try demandEqual(try addresses(of: alpha, at: directory), [alpha.meshAddress])
                try alpha.stop()
                try alpha.start()
                try alpha.waitReady()
                try Deadline.until("the new one is told") {
                    try addresses(of: alpha, at: directory) == ["\(alpha.host):7499"]
                }
            }
        }

        /// Where the mesh has a policy document, a changed policy.file does nothing, and that is said.
        @Test func aPolicyFileThatIsNotInForce() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                try demandEqual(try node.reload().json["notes"], [])
                try node.take(operators.list)
                try node.take(try operators.sign(.policy, 7, mesh.policy.text))
                node.policy.connect("node:Directory", to: "elsewhere")
                let said = try node.reload()
                try demandEqual(said.status, 200)
                let note = said.json["notes"]?.array?.first?.string ?? ""
                try demand(note.contains("policy.file is not in force") && note.contains("version 7"), said.text)
                let printed = try node.mesh(["reload"])
                try demand(printed.output.contains("mesh policy apply"), printed.output)
            }
        }
    }
}
