/** Users in the format of Redis' ACL files: a line each, `user <name> <rules>`. */
import { isUserName, joinSelectors, RefusedRuleError, User, type UserEnvironment } from './user.ts';

/** A file that was not taken; the message says what is wrong with which lines, in Redis' words. */
export class UserFileError extends Error {
  override readonly name = 'UserFileError';
}

/** @param text one byte a character. @throws UserFileError */
export function readUserFile(text: string, path: string, environment: UserEnvironment): readonly User[] {
  const users = new Map<string, User>();
  let complaints = '';
  for (const [index, untrimmed] of text.split('\n').entries()) {
    const line = untrimmed.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
    if (line === '') continue;
    const place = `${path}:${index + 1}`;
    const [keyword, name, ...words] = line.split(' ');
    if (keyword !== 'user' || name === undefined) {
      complaints += `${place} should start with user keyword followed by the username. `;
    } else if (!isUserName(name)) {
      complaints += `${place}: username '${name}' contains invalid characters. `;
    } else if (users.has(name)) {
      complaints += `WARNING: Duplicate user '${name}' found on line ${index + 1}. `;
    } else {
      const [user, complaint] = userOf(name, words, place, environment);
      users.set(name, user);
      complaints += complaint;
    }
  }
  if (complaints === '') return [...users.values()];
  throw new UserFileError(
    `${complaints}WARNING: ACL errors detected, no change to the previously active ACL rules was performed`,
  );
}

/** A user of a line, and what is wrong with it: of mistakes in writing the first, which may lead to others. */
function userOf(
  name: string,
  words: readonly string[],
  place: string,
  environment: UserEnvironment,
): readonly [User, string] {
  let user = new User(name, environment);
  const joined = joinSelectors(words);
  if ('unclosed' in joined) return [user, `${place}: Unmatched parenthesis in selector definition.`];
  let complaint = '';
  let isMistaken = false;
  for (const rule of joined.rules) {
    try {
      user = user.changedBy([rule.replace(/^[\t\r\n]+|[\t\r\n]+$/g, '')]);
    } catch (error) {
      if (!(error instanceof RefusedRuleError)) throw error;
      if (error.reason === 'unknownCommand') {
        complaint += `${place}: Error in applying operation '${rule}': ${error.message}. `;
      } else if (!isMistaken) {
        complaint += `${place}: ${error.message}. `;
        isMistaken = true;
      }
    }
  }
  return [user, complaint];
}

export const writeUserFile = (users: readonly User[]): string =>
  users.map((user) => `user ${user.name} ${user.describe()}\n`).join('');
