/** Which side answers, and what the other one is told. */

export const MODES = ['redis-only', 'dual-write', 'dual-write-shadow', 'kvorum-primary', 'kvorum-only'] as const;
export type Mode = (typeof MODES)[number];
export type Side = 'redis' | 'kvorum';

/** What a mode means. */
export interface ModeMeaning {
  readonly primary: Side;
  /** It is told each write; undefined when nobody is. */
  readonly secondary: Side | undefined;
  /** It is asked what the other one was asked, and the answers are compared. */
  readonly comparesReads: boolean;
}

export const MEANINGS: { readonly [M in Mode]: ModeMeaning } = {
  'redis-only': { primary: 'redis', secondary: undefined, comparesReads: false },
  'dual-write': { primary: 'redis', secondary: 'kvorum', comparesReads: false },
  'dual-write-shadow': { primary: 'redis', secondary: 'kvorum', comparesReads: true },
  'kvorum-primary': { primary: 'kvorum', secondary: 'redis', comparesReads: false },
  'kvorum-only': { primary: 'kvorum', secondary: undefined, comparesReads: false },
};

export const isMode = (text: string): text is Mode => (MODES as readonly string[]).includes(text);
