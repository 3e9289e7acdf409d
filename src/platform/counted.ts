/** Numbers of things in sentences for people. */

const ENDS_IN_CONSONANT_Y = /[^aeiou]y$/;
const ENDS_IN_HISS = /(?:[sxz]|ch|sh)$/;

/**
 * `1 group`, `2 groups`, `0 replicas`, `3 entries`.
 * @param noun in the singular; its plural is formed by the rule
 * @param shown the number as it is written, such as with separators
 */
export function counted(count: number, noun: string, shown: string | number = count): string {
  if (count === 1) return `${shown} ${noun}`;
  if (ENDS_IN_CONSONANT_Y.test(noun)) return `${shown} ${noun.slice(0, -1)}ies`;
  return `${shown} ${noun}${ENDS_IN_HISS.test(noun) ? 'es' : 's'}`;
}
