/** What the tidy tests look at: the repository's own files, and a reader of their imports and exports. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface SourceFile {
  /** Path from the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and the contents of strings blanked out, same length and lines. */
  readonly code: string;
  readonly lines: readonly string[];
}

/** Blanks comments, and the insides of strings and templates unless `keepStrings`; keeps the length and all line breaks. */
export function blank(text: string, keepStrings = false): string {
  const pattern =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`|(?<=[=(,:;!&|?{}[\n]\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g;
  return text.replace(pattern, (found) => {
    const isComment = found.startsWith('//') || found.startsWith('/*');
    if (!isComment && keepStrings) return found;
    return found.replace(/[^\n]/g, (character, at: number) =>
      !isComment && (at === 0 || at === found.length - 1) ? character : ' ',
    );
  });
}

const WITH_GIT = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
/** What .gitignore names, for a tree that came without git. */
const NOT_SOURCES = /^(?:node_modules|dist|data|jepsen\/runs|bench\/results)\//;

function listed(): string[] {
  try {
    const names = execFileSync('git', WITH_GIT, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
    return names
      .toString('utf8')
      .split('\0')
      .filter((path) => path !== '' && existsSync(root + path));
  } catch {
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll(sep, '/'))
      .filter((path) => !NOT_SOURCES.test(path))
      .sort();
  }
}

/** Every file of the repository that git knows or would add; without git, every file. */
export const allPaths: readonly string[] = listed();

/** Every TypeScript file. */
export const sources: readonly SourceFile[] = allPaths
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(root + path, 'utf8');
    return { path, text, code: blank(text), lines: text.split('\n') };
  });

/** Text of any file. */
export const readText = (path: string): string => readFileSync(root + path, 'utf8');

/** Module names that a file imports or re-exports, static and dynamic. */
export function importsOf(file: SourceFile): string[] {
  const code = blank(file.text, true);
  const pattern = /\bfrom\s+['"]([^'"]+)['"]|\bimport\s*\(\s*['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]/gm;
  return [...code.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3]!);
}

/** A relative import as a path from the root; undefined for packages. */
export function resolveImport(file: SourceFile, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  return new URL(specifier, new URL(file.path, 'file:///')).pathname.slice(1);
}

/** Files that are loaded with a file: what it imports for more than types when it is loaded itself, and what that imports. */
export function loadedWith(path: string): Set<string> {
  const byPath = new Map(sources.map((file) => [file.path, file]));
  const pattern = /^(?:import|export)\s+(?!type\b)(?:[^;'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
  const loaded = new Set<string>();
  const add = (file: SourceFile | undefined): void => {
    if (file === undefined || loaded.has(file.path)) return;
    loaded.add(file.path);
    for (const [, specifier] of blank(file.text, true).matchAll(pattern)) {
      const target = resolveImport(file, specifier!);
      if (target !== undefined) add(byPath.get(target));
    }
  };
  add(byPath.get(path));
  return loaded;
}

/** Line number of an offset, from 1. */
export const lineAt = (file: SourceFile, offset: number): number => file.text.slice(0, offset).split('\n').length;
