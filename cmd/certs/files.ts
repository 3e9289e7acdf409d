/** Files of certificates and keys: a key is its owner's alone from its first byte on, and a file that is replaced is never half there. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;
const FOLDER_MODE = 0o700;

/** Writes a file in one step, in the place of one that may be there. @throws the system's error */
async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
  await writeFile(`${path}.new`, text, { mode });
  await rename(`${path}.new`, path);
}

/** Writes what everybody may read. @throws the system's error */
export const replacePublicFile = (path: string, text: string): Promise<void> =>
  replaceFile(path, text, CERTIFICATE_MODE);

/** Writes what only the owner may read. @throws the system's error */
export const replaceSecretFile = (path: string, text: string): Promise<void> => replaceFile(path, text, KEY_MODE);

/** The text of a file; undefined when it is not there. @throws the system's error when it cannot be read */
export async function textIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
