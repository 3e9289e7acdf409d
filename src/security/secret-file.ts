/** Files with secrets, as operators write them: short texts, whose contents no message repeats. */
import { readFile } from 'node:fs/promises';

/**
 * The text of a file.
 * @param maxLength of the text
 * @param refuse throws: the file is not there, cannot be read, or is too long
 */
export async function readSecretFile(
  path: string,
  maxLength: number,
  refuse: (reason: string) => never,
): Promise<string> {
  let text = '';
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    refuse(code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`);
  }
  if (text.length > maxLength) refuse('is too long for one');
  return text;
}
