// swift-tools-version: 6.2
import PackageDescription

// Every target is compiled in Swift 6 mode with warnings as errors. Rooms and their borders are described in
// ARCHITECTURE.md; a target may import only what its line below names.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

func room(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict + settings)
}

func shim(_ name: String, links libraries: [String] = [], settings: [CSetting] = []) -> Target {
    .target(name: name, cSettings: settings, linkerSettings: libraries.map { .linkedLibrary($0) })
}

// Programs that are installed have Swift's libraries in them: a host needs no Swift, and less of it is resident. What
// they do not use is left out, which the symbols that -static-stdlib exports for plug-ins would prevent.
let standalone: [LinkerSetting] = [
    .unsafeFlags(["-static-stdlib", "-Xlinker", "--no-export-dynamic"], .when(configuration: .release))
]

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict, linkerSettings: standalone)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], settings: [SwiftSetting] = []
) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict + settings)
}

// Debug builds of the agent can leave out one check of peers' certificates (MESH_FAULT_SKIP_CHECK), so that the tests of
// mtls-tester see it found. Release builds know nothing of it.
let faults: [SwiftSetting] = [.define("MESH_FAULTS", .when(configuration: .debug))]

func support(
    _ name: String, _ dependencies: [Target.Dependency] = [], links libraries: [String] = [],
    settings: [SwiftSetting] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Tests/Support/\(name)", swiftSettings: settings,
        linkerSettings: libraries.map { .linkedLibrary($0) })
}

let package = Package(
    name: "conduit-mesh",
    products: [
        .executable(name: "mesh-agent", targets: ["mesh-agent"]),
        .executable(name: "mesh", targets: ["mesh"]),
        .executable(name: "mtls-tester", targets: ["mtls-tester"]),
        // For the nested package Fuzz/.
        .library(
            name: "MeshRooms",
            targets: [
                "Bytes", "EventLoop", "PKI", "TLS", "JSON", "JOSE", "Arguments", "HTTP", "WebSocket", "Link", "Gateway",
                "Policy", "Directory", "Documents", "Enrolment", "Audit", "Agent",
            ]),
        // For Benchmarks/: the rooms that it measures, so that it builds without the agent.
        .library(
            name: "MeshProtocols",
            targets: ["Bytes", "PKI", "TLS", "JSON", "HTTP", "WebSocket", "Link", "Policy", "Directory"]),
    ],
    targets: [
        shim("CLinux"),
        shim("COpenSSL", links: ["ssl", "crypto"]),
        // Optimised in debug builds, too: a cipher of intrinsics is thirty times slower without, and is tested with gigabytes.
        shim("CAcceleration", links: ["crypto"], settings: [.unsafeFlags(["-O2"])]),
        shim("CSodium", links: ["sodium"]),
        shim("CSQLite", links: ["sqlite3"]),

        room("Bytes"),
        room("EventLoop", ["Bytes", "CLinux"]),
        room("PKI", ["Bytes", "JSON", "COpenSSL", "CSodium"]),
        room("TLS", ["Bytes", "PKI", "COpenSSL", "CAcceleration"]),
        room("JSON", ["Bytes"]),
        room("JOSE", ["Bytes", "JSON", "PKI", "CSodium"]),
        room("Arguments"),
        room("HTTP", ["Bytes"]),
        room("WebSocket", ["Bytes"]),
        room("Link", ["Bytes", "WebSocket"]),
        room("Gateway", ["Bytes", "HTTP", "WebSocket"]),
        room("Policy", ["JSON"]),
        room("Directory", ["JSON", "Policy", "CSQLite"]),
        room("Enrolment", ["Bytes", "JSON", "PKI", "CSodium"]),
        room("Documents", ["Bytes", "JSON", "PKI", "Policy", "CSodium"]),
        room("Audit", ["Bytes", "JSON", "PKI", "CSodium"]),
        room(
            "Agent",
            [
                "Bytes", "EventLoop", "PKI", "TLS", "JSON", "JOSE", "HTTP", "WebSocket", "Link", "Gateway", "Policy",
                "Directory", "Documents", "Enrolment", "Audit", "Arguments", "CLinux", "CSodium",
            ],
            settings: faults),

        program("mesh-agent", ["Agent", "Arguments"]),
        program(
            "mesh",
            [
                "Documents", "Audit",
                "Agent", "Arguments", "Bytes", "Enrolment", "EventLoop", "HTTP", "JOSE", "JSON", "PKI", "Policy",
                "Directory", "TLS",
                "WebSocket",
            ]),
        program(
            "mtls-tester",
            ["Arguments", "Bytes", "EventLoop", "HTTP", "JSON", "Link", "PKI", "TLS", "WebSocket", "CLinux"]),

        // For tests only: the WebSocket library wslay as oracle, a count of heap allocations, programs run to their end, a log
        // of certificates.
        support("CWslay", links: ["wslay"]),
        support("CAllocations"),
        support("CTestSystem"),
        support("SeededRandom", settings: strict),
        support("TestPrograms", settings: strict),
        support("TestLogs", ["Bytes", "PKI"], settings: strict),

        tests("BytesTests", ["Bytes", "SeededRandom"]),
        tests("EventLoopTests", ["EventLoop", "Bytes"]),
        tests("PKITests", ["PKI", "Bytes", "TestLogs", "TestPrograms"]),
        tests(
            "TLSTests",
            [
                "TLS", "PKI", "Bytes", "COpenSSL", "CAcceleration", "CAllocations", "TestLogs", "TestPrograms",
                "SeededRandom",
            ]),
        tests("JSONTests", ["JSON", "SeededRandom"]),
        // Its fixtures are read where they lie: Tests/JOSETests/fixtures.
        tests("JOSETests", ["JOSE", "JSON", "PKI", "Bytes", "CSodium"], exclude: ["fixtures"]),
        tests("ArgumentsTests", ["Arguments"]),
        tests("HTTPTests", ["HTTP", "Bytes", "SeededRandom"]),
        tests("WebSocketTests", ["WebSocket", "Bytes", "CWslay", "CAllocations", "SeededRandom"]),
        tests("LinkTests", ["Link", "Bytes", "WebSocket", "CAllocations", "SeededRandom"]),
        tests("GatewayTests", ["Gateway", "Bytes", "HTTP", "WebSocket", "CSodium", "SeededRandom"]),
        tests("PolicyTests", ["Policy", "JSON", "SeededRandom"]),
        tests("EnrolmentTests", ["Enrolment", "Bytes", "JSON", "PKI", "TestPrograms"]),
        tests("DocumentsTests", ["Documents", "Bytes", "JSON", "PKI", "Policy"]),
        tests("AuditTests", ["Audit", "JSON", "PKI"]),
        tests("DirectoryTests", ["Directory", "JSON", "Policy", "CSQLite", "SeededRandom"]),
        tests(
            "AgentTests",
            [
                "Documents", "Audit",
                "Agent", "Arguments", "Enrolment", "JSON", "JOSE", "Bytes", "PKI", "EventLoop", "TLS", "Link",
                "WebSocket",
                "CTestSystem", "COpenSSL", "TestLogs", "TestPrograms",
            ]),
        tests("TesterTests", ["mesh-agent", "mtls-tester", "JSON", "PKI"], settings: faults),
        tests("CLITests", ["Documents", "JOSE", "JSON", "PKI", "EventLoop", "TestLogs"]),
    ]
)
