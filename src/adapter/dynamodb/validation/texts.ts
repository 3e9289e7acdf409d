/**
 * The service's texts about requests that break a constraint of the model. Regions word them differently; these are the words of the older ones,
 * which most programs' tests and all emulators know, and which list up to ten complaints. Another family of words is another table.
 */

import { counted } from '../../../platform/index.ts';

/** How many complaints one answer has at most. */
export const MAX_COMPLAINTS = 10;

export const CONSTRAINT_TEXTS = {
  isNull: 'Member must not be null',
  minLength: (bound: number) => `Member must have length greater than or equal to ${bound}`,
  maxLength: (bound: number) => `Member must have length less than or equal to ${bound}`,
  minValue: (bound: number) => `Member must have value greater than or equal to ${bound}`,
  maxValue: (bound: number) => `Member must have value less than or equal to ${bound}`,
  pattern: (pattern: string) => `Member must satisfy regular expression pattern: ${pattern}`,
  words: (words: readonly string[]) => `Member must satisfy enum value set: [${words.join(', ')}]`,
  keys: (constraints: readonly string[]) => `Map keys must satisfy constraint: [${constraints.join(', ')}]`,
  values: (constraints: readonly string[]) => `Map value must satisfy constraint: [${constraints.join(', ')}]`,
  /** @param shown null has no quotes */
  complaint: (shown: string | null, path: string, constraint: string) =>
    `Value ${shown === null ? 'null' : `'${shown}'`} at '${path}' failed to satisfy constraint: ${constraint}`,
  complaints: (complaints: readonly string[]) =>
    `${counted(complaints.length, 'validation error')} detected: ${complaints.join('; ')}`,
  tableMissing: (member: string) => `The parameter '${member}' is required but was not present in the request`,
  tableLength: (member: string) => `${member} must be at least 3 characters long and at most 255 characters long`,
} as const;
