//! Files that are programs.
//!
//! A file is one by the end of its name, which is what makes a computer run it, or by its first bytes, whatever its name
//! says. Archives are not looked into, and this is no virus scan: SES does that, and its verdict stands in the notice.

/// Ends of names that some system runs, installs or mounts, documents with macros among them.
const EXTENSIONS: &[&str] = &[
    "ade",
    "adp",
    "apk",
    "app",
    "appimage",
    "appx",
    "appxbundle",
    "bash",
    "bat",
    "cab",
    "chm",
    "cmd",
    "com",
    "command",
    "cpl",
    "csh",
    "deb",
    "diagcab",
    "dll",
    "dmg",
    "docm",
    "dotm",
    "exe",
    "gadget",
    "hta",
    "img",
    "inf",
    "ins",
    "iso",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "ksh",
    "lib",
    "lnk",
    "mde",
    "mjs",
    "msc",
    "msi",
    "msix",
    "msixbundle",
    "msp",
    "mst",
    "nsh",
    "pif",
    "pkg",
    "potm",
    "ppam",
    "pptm",
    "ps1",
    "ps2",
    "psm1",
    "py",
    "pyc",
    "reg",
    "rpm",
    "run",
    "scf",
    "scr",
    "sct",
    "sh",
    "shb",
    "sldm",
    "sys",
    "udl",
    "url",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vhdx",
    "vxd",
    "wsc",
    "wsf",
    "wsh",
    "xlam",
    "xll",
    "xlsm",
    "xltm",
    "zsh",
];

/// How programs begin.
const MAGIC: &[&[u8]] = &[
    b"MZ",               // Windows and DOS
    b"\x7fELF",          // Linux
    b"\xfe\xed\xfa\xce", // macOS, in its four forms
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",                 // macOS for several processors, and Java
    b"\x4c\x00\x00\x00\x01\x14\x02\x00", // a Windows shortcut
    b"#!",                               // a script
    b"dex\n",                            // Android
];

/// Is it a program, by its name or its first bytes?
#[must_use]
pub fn is_dangerous(filename: &str, bytes: &[u8]) -> bool {
    let name = filename.trim_end_matches(['.', ' ']).to_lowercase();
    let by_name = name
        .rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension.trim()));
    by_name || MAGIC.iter().any(|magic| bytes.starts_with(magic))
}
