/**
 * What is in the Debian package: the compiled program with the packages that it needs at run time, the Node that it was tested with, the
 * service, and what Debian wants of every package. Debian's own Node is older than kvorum needs, so the package brings one.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';

/** What a package is made of. */
export interface PackageSources {
  /** The repository. */
  readonly repository: string;
  /** The compiled program, what `npm run build` writes. */
  readonly compiled: string;
  /** The Node that runs it. */
  readonly node: string;
}

interface LockedPackage {
  readonly dev?: boolean;
  /** It may be missing, and what asks for it does without. */
  readonly optional?: boolean;
}

const LIBRARY = 'usr/lib/kvorum';
/** Names of Debian's architectures, by Node's. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const MAINTAINER = 'The kvorum project <kvorum@packages.invalid>';
/** Declarations, maps and sources of native code, which nothing reads at run time. */
const NOT_NEEDED =
  /\.d\.[cm]?ts$|\.map$|\.html$|\.(?:cc|c|h|gyp|gypi)$|\/\.(?:github|idea|vscode|travis\.yml|eslintrc\w*|npmignore|gitattributes)|\/classic-level\/deps\b/;

/** Of a package, what only its makers use. */
const FOLDERS_OF_MAKERS = /^(?:tests?|docs|examples?|benchmarks?)(?:\/|$)/;

/** Packages that are types and nothing else. */
const NO_CODE = /(?:^|\/)node_modules\/(?:@types\/|undici-types$)/;

/** Debian's name of the architecture that this is made on. @throws Error when there is no package for it */
export function debianArchitecture(): string {
  const name = ARCHITECTURES[process.arch];
  if (name === undefined) throw new Error(`there is no Debian package for ${process.arch}`);
  return name;
}

/** `0.2.0-rc.1` → `0.2.0~rc.1`, which Debian sorts before `0.2.0`. */
export const debianVersion = (version: string): string => version.replaceAll('-', '~');

/** The folders of packages that are needed at run time and are there, from the repository. */
export function runtimePackages(repository: string): string[] {
  const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  return Object.entries(lock.packages)
    .filter(
      ([path, { dev, optional }]) =>
        path !== '' && dev !== true && optional !== true && !NO_CODE.test(path) && existsSync(join(repository, path)),
    )
    .map(([path]) => path);
}

/** Native code of other machines, and for another C library than Debian's, is left out. */
const isForeign = (path: string): boolean => {
  if (path.endsWith('.musl.node')) return true;
  const platform = /\/prebuilds\/([^/]+)/.exec(path)?.[1];
  return platform !== undefined && platform !== `${process.platform}-${process.arch}`;
};

function copyPackage(repository: string, path: string, library: string): void {
  const from = join(repository, path);
  cpSync(from, join(library, path), {
    recursive: true,
    filter: (file) => {
      const inside = relative(from, file);
      // Packages within are listed by themselves.
      const isNeeded = !NOT_NEEDED.test(file) && !FOLDERS_OF_MAKERS.test(inside);
      return isNeeded && !inside.split('/').includes('node_modules') && !isForeign(file);
    },
  });
}

function write(path: string, text: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, mode);
}

/** Every file below a folder, relative to it. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Debian wants the same rights everywhere, and npm packages come with whatever their makers had. Nothing of it is run by its name. */
function settleRights(tree: string): void {
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
}

function addProgram({ repository, compiled, node }: PackageSources, tree: string): void {
  const library = join(tree, LIBRARY);
  cpSync(compiled, join(library, 'dist'), { recursive: true, filter: (file) => !NOT_NEEDED.test(file) });
  for (const path of runtimePackages(repository)) copyPackage(repository, path, library);
  cpSync(join(repository, 'proto'), join(library, 'proto'), { recursive: true });
  copyFileSync(join(repository, 'package.json'), join(library, 'package.json'));
  mkdirSync(join(library, 'bin'), { recursive: true });
  copyFileSync(node, join(library, 'bin/node'));
  settleRights(join(tree, LIBRARY));
  chmodSync(join(library, 'bin/node'), 0o755);
  for (const program of ['kvorum', 'raftadmin']) {
    const text = `#!/bin/sh\nexec /${LIBRARY}/bin/node /${LIBRARY}/dist/cmd/${program}.js "$@"\n`;
    write(join(tree, 'usr/bin', program), text, 0o755);
  }
}

function addDocumentation(repository: string, tree: string, version: string, date: Date): void {
  const folder = join(tree, 'usr/share/doc/kvorum');
  const from = join(repository, 'deploy/debian');
  const changes =
    `kvorum (${version}) unstable; urgency=medium\n\n  * See /usr/share/doc/kvorum/CHANGELOG.md.gz.\n\n` +
    ` -- ${MAINTAINER}  ${date.toUTCString().replace('GMT', '+0000')}\n`;
  write(join(folder, 'changelog.gz'), gzipSync(changes, { level: 9 }));
  write(join(folder, 'CHANGELOG.md.gz'), gzipSync(readFileSync(join(repository, 'CHANGELOG.md')), { level: 9 }));
  write(join(folder, 'README.md'), readFileSync(join(repository, 'README.md')));
  write(join(folder, 'copyright'), readFileSync(join(from, 'copyright')));
  write(join(tree, 'usr/share/lintian/overrides/kvorum'), readFileSync(join(from, 'lintian-overrides')));
  for (const program of ['kvorum', 'raftadmin']) {
    const page = readFileSync(join(from, `${program}.1`));
    write(join(tree, `usr/share/man/man1/${program}.1.gz`), gzipSync(page, { level: 9 }));
  }
}

function controlText(version: string, tree: string): string {
  const bytes = filesBelow(tree).reduce((sum, path) => sum + statSync(join(tree, path)).size, 0);
  return [
    'Package: kvorum',
    `Version: ${version}`,
    'Section: database',
    'Priority: optional',
    `Architecture: ${debianArchitecture()}`,
    `Maintainer: ${MAINTAINER}`,
    `Installed-Size: ${Math.ceil(bytes / 1024)}`,
    // What the Node that comes along is linked with.
    'Depends: adduser, libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 9)',
    'Suggests: redis-tools',
    'Description: replicated, transactional key-value cluster that speaks Redis',
    ' A key-value database that runs on several machines. A write is on stable',
    ' storage of a majority of them before the client hears of it, and commands and',
    ' transactions over any keys are strictly serializable. Clients of Redis and of',
    ' DynamoDB may use any node.',
    ' .',
    ' "kvorum init" writes what the machines of a cluster are configured with.',
    '',
  ].join('\n');
}

/**
 * Lays out the tree that `dpkg-deb --build` packs.
 * @param tree an empty folder
 * @param date of the newest entry of Debian's changelog
 * @returns the version of the package
 */
export function layOut(sources: PackageSources, tree: string, date: Date): string {
  const { repository } = sources;
  const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { readonly version: string };
  const version = debianVersion(manifest.version);
  addProgram(sources, tree);
  addDocumentation(repository, tree, version, date);
  write(
    join(tree, 'lib/systemd/system/kvorum.service'),
    readFileSync(join(repository, 'deploy/systemd/kvorum.service')),
  );
  const sums = filesBelow(tree).map((path) => {
    const digest = createHash('md5')
      .update(readFileSync(join(tree, path)))
      .digest('hex');
    return `${digest}  ${path}\n`;
  });
  const control = controlText(version, tree);
  write(join(tree, 'DEBIAN/control'), control);
  write(join(tree, 'DEBIAN/md5sums'), sums.join(''));
  for (const script of ['postinst', 'prerm', 'postrm']) {
    write(join(tree, 'DEBIAN', script), readFileSync(join(repository, 'deploy/debian', script)), 0o755);
  }
  // Whatever the umask is: dpkg-deb takes the rights as they are, those of the tree itself, which become those of `/`, included.
  chmodSync(tree, 0o755);
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) chmodSync(join(entry.parentPath, entry.name), 0o755);
  }
  return version;
}
