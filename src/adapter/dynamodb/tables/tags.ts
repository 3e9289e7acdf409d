/** Tags of tables: a document that is kept beside the table, and nothing else. */
import { validationError } from '../errors/index.ts';
import { CorruptRowError } from '../rows/index.ts';
import type { WireTag } from './requests.ts';

export const MAX_TAGS = 50;
const MAX_KEY = 128;
const MAX_VALUE = 256;
const FORMAT = 1;
const LETTERS = /^[\p{L}\p{N}\p{Z}+\-=._:/@]*$/u;

/** @throws DynamoError for tags that cannot be */
export function checkTags(tags: readonly WireTag[]): void {
  if (tags.length > MAX_TAGS) throw validationError('Too many tags added. The maximum number of tags is 50');
  const keys = new Set<string>();
  for (const { Key: key, Value: value } of tags) {
    if (keys.has(key)) throw validationError(`One or more parameter values were invalid: Duplicate tag key: ${key}`);
    keys.add(key);
    if (key.length === 0 || key.length > MAX_KEY) throw validationError(`Tag key must have 1 to ${MAX_KEY} characters`);
    if (value.length > MAX_VALUE) throw validationError(`Tag value must have at most ${MAX_VALUE} characters`);
    if (!LETTERS.test(key) || !LETTERS.test(value)) {
      throw validationError('Tag keys and values may have letters, numbers, blanks, and + - = . _ : / @');
    }
    if (/^aws:/i.test(key))
      throw validationError('One or more parameter values were invalid: Tag keys must not begin with aws:');
  }
}

/** The stored form: JSON behind a format byte. */
export const encodeTags = (tags: ReadonlyMap<string, string>): Buffer =>
  Buffer.concat([Buffer.of(FORMAT), Buffer.from(JSON.stringify([...tags]), 'utf8')]);

/** @throws CorruptRowError */
export function decodeTags(bytes: Buffer | undefined): Map<string, string> {
  if (bytes === undefined) return new Map();
  if (bytes[0] !== FORMAT) throw new CorruptRowError(`tags have format ${bytes[0]}, and this program knows ${FORMAT}`);
  return new Map(JSON.parse(bytes.toString('utf8', 1)) as [string, string][]);
}

/** As a document, and the same with some more. @throws DynamoError when they are too many */
export function withTags(document: Buffer | undefined, added: readonly WireTag[]): Buffer {
  const tags = decodeTags(document);
  for (const { Key, Value } of added) tags.set(Key, Value);
  if (tags.size > MAX_TAGS) throw validationError('Too many tags added. The maximum number of tags is 50');
  return encodeTags(tags);
}

/** The same without some; undefined when none are left. */
export function withoutTags(document: Buffer | undefined, keys: readonly string[]): Buffer | undefined {
  const tags = decodeTags(document);
  for (const key of keys) tags.delete(key);
  return tags.size === 0 ? undefined : encodeTags(tags);
}
