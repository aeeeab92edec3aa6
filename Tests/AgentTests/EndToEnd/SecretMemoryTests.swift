import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Where the secrets lie that an agent holds itself. Sanitizers lock no memory, keep what was freed, and map terabytes.
    @Suite(.enabled(if: Memory.tells, "the agents run under a sanitizer")) struct SecretMemory {
        /// A part of a process's memory, and what the kernel says of it (proc_pid_smaps(5)).
        private struct Mapping {
            let range: Range<UInt>
            var flags: Set<String> = []
        }

        /// What a process can write to, heaps and stacks among it.
        private static func mappings(_ pid: pid_t) throws -> [Mapping] {
            var found: [Mapping] = []
            var isWanted = false
            // A file without a size, of which String(contentsOfFile:) reads only the beginning.
            let smaps = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/\(pid)/smaps")).readToEnd() ?? Data()
            for line in String(decoding: smaps, as: UTF8.self).split(separator: "\n") {
                let words = line.split(separator: " ")
                let bounds = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
                if bounds.count == 2, words.count > 1 {
                    isWanted = words[1].hasPrefix("r") && !line.hasSuffix("[vvar]") && !line.hasSuffix("[vsyscall]")
                    if isWanted { found.append(Mapping(range: bounds[0]..<bounds[1])) }
                } else if words[0] == "VmFlags:", isWanted {
                    found[found.count - 1].flags = Set(words.dropFirst().map(String.init))
                }
            }
            return found
        }

        /// The mappings in which eight bytes of the secret or more are, once for each eight. Memory that was given back is soon written over
        /// here and there, so that not the whole is looked for.
        private static func places(of secret: [UInt8], in process: Child) throws -> [Mapping] {
            let memory = open("/proc/\(process.pid)/mem", O_RDONLY)
            guard memory >= 0 else { throw Failure("the memory of \(process.pid) cannot be read") }
            defer { close(memory) }
            // At each place of the secret: a copy may begin anywhere.
            let words = Set(
                secret.withUnsafeBytes { bytes in
                    (0...bytes.count - 8).map { bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self) }
                })
            var found: [Mapping] = []
            for mapping in try mappings(process.pid) {
                var bytes = [UInt8](repeating: 0, count: mapping.range.count)
                let count = pread(memory, &bytes, bytes.count, off_t(mapping.range.lowerBound))
                guard count > 0 else { continue }
                bytes.withUnsafeBytes { buffer in
                    // What the secrets are made of has no high bit, which sorts most of the memory out.
                    for word in buffer.bindMemory(to: UInt64.self).prefix(count / 8)
                    where word != 0 && word & 0x8080_8080_8080_8080 == 0 && words.contains(word) {
                        found.append(mapping)
                    }
                }
            }
            return found
        }

        /// Secrets of files, which have nothing in common.
        private static func secret(_ number: UInt8) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: 640 + 80 * Int(number))
            var stream = Stream(seed: UInt64(number))
            bytes.withUnsafeMutableBytes { stream.fill($0) }
            return bytes.map { 0x21 + $0 % 90 }
        }

        /// An agent with every secret that the edge and the audit log can have, and the names of their keys.
        private func agent(_ mesh: TestMesh) throws -> (TestNode, [(key: String, secret: [UInt8])]) {
            let keys = ["callerSecretFile", "dpop.nonceSecretFile", "issuers", "webhook"]
            let secrets = keys.enumerated().map { ($1, Self.secret(UInt8($0 + 1))) }
            func file(_ index: Int) throws -> JSONValue {
                let path = "\(mesh.directory)/secret-\(index)"
                try mesh.writeSecret(secrets[index].1, to: path)
                return .string(path)
            }
            let node = try mesh.node("Directory", directory: true) { node in
                node.set("edge.listeners", [["address": .string("\(node.host):8080"), "tls": "disabled"]])
                node.set("edge.routes", [["path": "/", "service": "web", "signCaller": true]])
                node.set("edge.authentication.callerSecretFile", try file(0))
                node.set("edge.authentication.dpop.nonceSecretFile", try file(1))
                node.set(
                    "edge.authentication.issuers",
                    [["issuer": "https://issuer.test", "audiences": ["a"], "secretFile": try file(2)]])
                node.set("audit.webhook.url", "https://127.0.0.1:9/")
                node.set("audit.webhook.secretFile", try file(3))
            }
            return (node, secrets)
        }

        @Test func secretsAreLockedAndNowhereElse() throws {
            try withMesh { mesh in
                let (node, secrets) = try agent(mesh)
                let other = try mesh.node("Other")
                try mesh.start()
                try other.waitLinked(to: node)
                // Read a second time: what the first reading left would still be there.
                try demandEqual(try node.reload().status, 200)
                let process = try node.running()
                for (key, secret) in secrets {
                    let places = try Self.places(of: secret, in: process)
                    // That of DPoP nonces is not kept: a key is made of it.
                    try demandEqual(places.isEmpty, key == "dpop.nonceSecretFile", "\(key) is in memory")
                    for place in places {
                        try demand(
                            place.flags.isSuperset(of: ["lo", "dd"]),
                            "\(key) lies in memory that is not locked or may be dumped: \(place)")
                    }
                }
                try demand(try node.metric("mesh_secrets{memory=\"locked\"}") ?? 0 >= 4, "they are counted")
                try demandEqual(try node.metric("mesh_secrets{memory=\"unlocked\"}"), 0)
                try demandEqual(node.count("secrets_not_locked"), 0)
            }
        }

        /// Under a limit of nothing the agent works, and says so once.
        @Test func withoutPermissionToLock() throws {
            try withMesh { mesh in
                let (node, _) = try agent(mesh)
                let drop = geteuid() == 0 ? ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"] : []
                node.prefix = drop + ["prlimit", "--memlock=0:0"]
                let other = try mesh.node("Other")
                try mesh.start()
                try other.waitLinked(to: node)
                try demandEqual(try node.reload().status, 200)
                let told = try node.waitFor("secrets_not_locked")
                try demand(told["hint"]?.contains("LimitMEMLOCK=") == true, "the hint says what to do")
                try demandEqual(node.count("secrets_not_locked"), 1)
                try demand(try node.metric("mesh_secrets{memory=\"unlocked\"}") ?? 0 >= 4, "they are counted")
                try demandEqual(try node.metric("mesh_secrets{memory=\"locked\"}"), 0)
            }
        }
    }
}
