import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Where AES-GCM comes from, as `--check`, the metrics and the log say it.
    @Suite struct AccelerationReports {
        @Test(arguments: ["auto", "off"])
        func checkMetricsAndLogAgree(_ setting: String) throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { $0.set("tls.acceleration", .string(setting)) }
                try mesh.start()
                let check = [TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile, "--check"]
                let forPeople = try runProgram(check).output
                let forPrograms = try JSONReader.parse(Array(try runProgram(check + ["--json"]).output.utf8))
                let code = forPrograms["aesGCM"]?.string ?? ""
                try demandEqual(code == "off", setting == "off", "the code \(code) for \(setting)")
                let line = forPeople.split(separator: "\n").first { $0.hasPrefix("TLS: AES-GCM ") }
                let text = try #require(line, "no line about AES-GCM: \(forPeople)").dropFirst("TLS: ".count)
                if setting == "off" { try demandEqual(text, "AES-GCM by OpenSSL (tls.acceleration is off)") }

                let metrics = try node.exposition()
                try demand(metrics.contains("mesh_tls_acceleration_info{aes_gcm=\"\(code)\"} 1\n"), metrics)
                let said = node.records.compactMap { $0["aes_gcm"] }
                try demandEqual(said, [String(text)], "what the log says")
            }
        }
    }
}
