/**
 * Who may do what on the gRPC port. A caller is known by the names in its certificate, by a token, or by both, and has the roles
 * of each. The roles of operators contain each other. That of data stands apart: whoever operates a cluster need not
 * read what is in it, and whoever uses its keys need not operate it.
 */
import { AccessError } from './errors.ts';

/** What callers may be. */
export const ACCESS_ROLES = ['read', 'operate', 'admin', 'data'] as const;
export type AccessRole = (typeof ACCESS_ROLES)[number];

const CONTAINED: { readonly [Role in AccessRole]: readonly AccessRole[] } = {
  read: ['read'],
  operate: ['read', 'operate'],
  admin: ['read', 'operate', 'admin'],
  data: ['data'],
};

/** Stands for every name: whoever has a certificate of the authorities. */
export const EVERYBODY = '*';

/** Names in certificates, by the role of their holders. */
export type RoleNames = { readonly [Role in AccessRole]?: readonly string[] };

/** Whoever has a token. */
export interface TokenHolder {
  readonly name: string;
  readonly role: AccessRole;
}

/** Knows tokens. */
export interface TokenCheck {
  /** Undefined: nobody has it. */
  find(token: string): TokenHolder | undefined;
}

/** What a caller shows. */
export interface Shown {
  /** Of its certificate; empty without one. */
  readonly names: readonly string[];
  readonly token: string | undefined;
}

/** A caller as far as it is known. */
export interface Caller {
  /** First name of its certificate. */
  readonly certificate: string | undefined;
  /** Name of the holder of its token. */
  readonly token: string | undefined;
  /** Undefined: nobody is asked for one, and everything is allowed. */
  readonly roles: ReadonlySet<AccessRole> | undefined;
}

/** How messages name a caller. */
export function nameOfCaller({ certificate, token }: Caller): string {
  const parts = [
    ...(certificate === undefined ? [] : [`certificate ${JSON.stringify(certificate)}`]),
    ...(token === undefined ? [] : [`token ${JSON.stringify(token)}`]),
  ];
  return parts.length === 0 ? 'nobody known' : parts.join(' with ');
}

/** What a node goes by. */
export interface AccessRules {
  /** Undefined: certificates give no role. */
  readonly names?: RoleNames | undefined;
  /** Undefined: there are no tokens. */
  readonly tokens?: TokenCheck | undefined;
}

/** See the top of the file. */
export class AccessPolicy {
  private readonly rules: AccessRules;
  /** Nobody has said who may do what: whoever can connect may do everything. */
  readonly isOpen: boolean;

  constructor(rules: AccessRules) {
    this.rules = rules;
    this.isOpen = rules.names === undefined && rules.tokens === undefined;
  }

  /**
   * Who a caller is by what it shows.
   * @throws AccessError UNAUTHENTICATED for a token that nobody has: one that was taken away must not go unnoticed
   */
  callerOf({ names, token }: Shown): Caller {
    const [certificate] = names;
    if (this.isOpen) return { certificate, token: undefined, roles: undefined };
    const { names: byRole, tokens } = this.rules;
    const roles = new Set<AccessRole>();
    for (const role of ACCESS_ROLES) {
      const listed = byRole?.[role] ?? [];
      const isListed = names.some((name) => listed.includes(name)) || (names.length > 0 && listed.includes(EVERYBODY));
      if (isListed) for (const each of CONTAINED[role]) roles.add(each);
    }
    if (token === undefined) return { certificate, token, roles };
    const holder = tokens?.find(token);
    if (holder === undefined) {
      throw new AccessError(
        'UNAUTHENTICATED',
        'the token is not one of this cluster, or not any more: ask for a new one, which an admin writes into grpc.tokenFile of every node',
      );
    }
    for (const each of CONTAINED[holder.role]) roles.add(each);
    return { certificate, token: holder.name, roles };
  }

  /** @param what such as `Split` @throws AccessError when the caller may not do what needs that role */
  check(caller: Caller, role: AccessRole, what: string): void {
    const { roles } = caller;
    if (roles === undefined || roles.has(role)) return;
    const needs = `${what} needs the role ${role}`;
    if (caller.certificate === undefined && caller.token === undefined) {
      throw new AccessError(
        'UNAUTHENTICATED',
        `${needs}, and the call shows neither a token nor a certificate: give it a token (raftadmin: --token-file, or RAFTADMIN_TOKEN_FILE)`,
      );
    }
    const has = roles.size === 0 ? 'none' : [...roles].join(', ');
    throw new AccessError(
      'ROLE_MISSING',
      `${needs}; ${nameOfCaller(caller)} has ${has}: an admin lists the certificate in grpc.roles.${role}, or gives out a token with that role`,
    );
  }
}
