/** Compiled code of the programs, kept from one start to the next: half of the processor time of a start goes into compiling a few hundred modules. */
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where Node.js finds the folder in the environment of threads and child processes, and where a user may name another one. */
const FOLDER_VARIABLE = 'NODE_COMPILE_CACHE';

/**
 * Keeps compiled code in the user's cache folder, `$XDG_CACHE_HOME/kvorum` or `~/.cache/kvorum`, for this process and its threads. Not in the
 * temporary folder, where others could put code. A folder that cannot be written changes nothing. Call before what is to be kept is loaded.
 * `NODE_DISABLE_COMPILE_CACHE=1` leaves it.
 */
export function keepCompiledCode(): void {
  const { XDG_CACHE_HOME: cacheHome, [FOLDER_VARIABLE]: named } = process.env;
  const home = cacheHome ?? homedir();
  // Users of services have homes that do not exist; making folders up to there is nobody's wish.
  if (named === undefined && !existsSync(home)) return;
  const folder = named ?? (cacheHome === undefined ? join(home, '.cache', 'kvorum') : join(home, 'kvorum'));
  process.env[FOLDER_VARIABLE] = folder;
  enableCompileCache(folder);
}
