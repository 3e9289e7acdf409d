/**
 * Values of a set of settings from the places they may come from. The first that has one wins: flag, environment,
 * configuration file, default.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import { ConfigError, type ConfigProblem } from './errors.ts';
import { environmentName, flagName, InvalidSettingValue, type SettingSet, type SettingValues } from './setting.ts';

export interface ConfigSources {
  /** What was given on the command line, by key; absent or undefined when a flag was not given. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A YAML or JSON file. */
  readonly filePath?: string | undefined;
}

export interface LoadedConfig<S extends SettingSet> {
  readonly values: SettingValues<S>;
  /** Keys that were not left at their default, with where they came from. */
  readonly origins: ReadonlyMap<string, string>;
}

/** Loaded where there is a file to read: one in twenty modules of a node would be its. */
const yaml = (): typeof Yaml => createRequire(import.meta.url)('yaml') as typeof Yaml;

/** Number of single-character edits between two words, given up beyond `limit`. */
function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) > limit) return limit + 1;
  let previous = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substitution = previous[column - 1]! + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[right.length]!;
}

/** The known key that `unknown` was probably meant to be. */
function closestKey(unknown: string, known: readonly string[]): string | undefined {
  const plain = (key: string): string => key.toLowerCase().replace(/[^a-z0-9]/g, '');
  const limit = Math.max(2, Math.floor(unknown.length / 4));
  let best: { key: string; distance: number } | undefined;
  for (const key of known) {
    const lastPart = key.slice(key.lastIndexOf('.') + 1);
    const distance = Math.min(
      editDistance(plain(unknown), plain(key), limit),
      editDistance(plain(unknown), plain(lastPart), limit),
    );
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { key, distance };
  }
  return best?.key;
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `{redis: {port: 1}}` → `redis.port`; a mapping below a known key is that key's value. */
function flatten(tree: Record<string, unknown>, known: SettingSet, prefix = ''): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [name, value] of Object.entries(tree)) {
    const key = prefix + name;
    if (!Object.hasOwn(known, key) && isMapping(value)) {
      for (const [inner, innerValue] of flatten(value, known, `${key}.`)) flat.set(inner, innerValue);
    } else {
      flat.set(key, value);
    }
  }
  return flat;
}

/** What is wrong and where. The parser's own words may repeat what is written there, which may be a password. */
function syntaxProblem(error: unknown): string {
  if (!(error instanceof yaml().YAMLParseError)) return 'it names something that is not in it';
  const at = error.linePos?.[0];
  const place = at === undefined ? '' : ` at line ${at.line}, column ${at.col}`;
  return `${error.code.toLowerCase().replaceAll('_', ' ')}${place}`;
}

function readConfigFile(filePath: string, settings: SettingSet): Map<string, unknown> {
  const refuse = (message: string, cause?: unknown): never => {
    throw new ConfigError([{ key: 'config', origin: filePath, message }], { cause });
  };
  let text: string;
  try {
    text = readFileSync(filePath, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return refuse(code === 'ENOENT' ? 'the file does not exist' : `the file cannot be read (${code})`, error);
  }
  let tree: unknown;
  try {
    // JSON is YAML: one reader for both, with line and column in its errors.
    tree = yaml().parse(text) ?? {};
  } catch (error) {
    return refuse(`the file is neither YAML nor JSON: ${syntaxProblem(error)}`);
  }
  if (!isMapping(tree)) return refuse('the file must hold a mapping of keys to values');
  return flatten(tree, settings);
}

/**
 * Loads every setting of a set. Environment variables that name no setting are left alone: platforms set some of their
 * own with any prefix. Unknown keys in a file are mistakes and are refused.
 * @throws ConfigError naming every key that is unusable and where it came from
 */
export function loadConfig<S extends SettingSet>(settings: S, sources: ConfigSources): LoadedConfig<S> {
  const fromFile = sources.filePath === undefined ? new Map() : readConfigFile(sources.filePath, settings);
  const problems: ConfigProblem[] = [];
  const keys = Object.keys(settings);

  for (const key of fromFile.keys()) {
    if (Object.hasOwn(settings, key)) continue;
    const suggestion = closestKey(key, keys);
    const hint = suggestion === undefined ? '' : `; did you mean ${suggestion}?`;
    problems.push({ key, origin: sources.filePath!, message: `there is no such setting${hint}` });
  }

  const values: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  for (const key of keys) {
    const setting = settings[key]!;
    let raw: unknown = sources.flags[key];
    let origin = `--${flagName(key)}`;
    if (raw === undefined) {
      const variable = environmentName(key);
      // An empty variable is how a shell or a compose file spells "not set".
      raw = sources.environment[variable] || undefined;
      origin = variable;
    }
    if (raw === undefined) {
      raw = fromFile.get(key) ?? undefined;
      origin = sources.filePath ?? '';
    }
    if (raw === undefined) {
      values[key] = setting.defaultValue;
      continue;
    }
    try {
      values[key] = setting.parse(raw);
      origins.set(key, origin);
    } catch (error) {
      if (!(error instanceof InvalidSettingValue)) throw error;
      problems.push({ key, origin, message: error.message });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { values: values as SettingValues<S>, origins };
}
