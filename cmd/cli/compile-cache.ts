/** Compiled code of the programs, kept from one start to the next: half of the processor time of a start goes into compiling a few hundred modules. */
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where Node.js finds the folder in the environment of threads and child processes, and where a user may name another one. */
const FOLDER_VARIABLE = 'NODE_COMPILE_CACHE';

/** The folder of compiled code: `$XDG_CACHE_HOME/kvorum` or `~/.cache/kvorum`. Undefined where none is to be made. */
function compiledCodeFolder(): string | undefined {
  const { XDG_CACHE_HOME: cacheHome, [FOLDER_VARIABLE]: named } = process.env;
  const home = cacheHome ?? homedir();
  // Users of services have homes that do not exist; making folders up to there is nobody's wish.
  if (named === undefined && !existsSync(home)) return undefined;
  return named ?? (cacheHome === undefined ? join(home, '.cache', 'kvorum') : join(home, 'kvorum'));
}

/**
 * Keeps compiled code in the user's cache folder, for this process and its threads. Not in the temporary folder, where others could put code. A
 * folder that cannot be written changes nothing. Call before what is to be kept is loaded. `NODE_DISABLE_COMPILE_CACHE=1` leaves it.
 */
export function keepCompiledCode(): void {
  const folder = compiledCodeFolder();
  if (folder === undefined) return;
  process.env[FOLDER_VARIABLE] = folder;
  enableCompileCache(folder);
}

/** The environment of a program of this package whose compiled code is kept from its very first module on. */
export function compiledCodeEnvironment(): NodeJS.ProcessEnv {
  const folder = compiledCodeFolder();
  return folder === undefined ? {} : { [FOLDER_VARIABLE]: folder };
}
