import type { components } from './schema.gen';

type Schemas = components['schemas'];

export type Alarm = Schemas['Alarm'];
export type AuditRecord = Schemas['AuditRecord'];
export type AuthFailureRecord = Schemas['AuthFailureRecord'];
export type CallRecord = Schemas['CallRecord'];
export type Daemon = Schemas['Daemon'];
export type Fault = Schemas['Fault'];
export type FileSettings = Schemas['FileSettings'];
export type FileUsage = Schemas['FileUsage'];
export type ImportResult = Schemas['ImportResult'];
export type LegRecord = Schemas['LegRecord'];
export type Link = Schemas['Link'];
export type LiveCall = Schemas['LiveCall'];
export type LiveParty = Schemas['LiveParty'];
export type Me = Schemas['Me'];
export type Overview = Schemas['Overview'];
export type PartyRecord = Schemas['PartyRecord'];
export type ProblemBody = Schemas['Problem'];
export type Registration = Schemas['Registration'];
export type RegistrationRecord = Schemas['RegistrationRecord'];
export type Settings = Schemas['Settings'];
export type Setup = Schemas['Setup'];
export type StreamRecord = Schemas['StreamRecord'];
export type Token = Schemas['Token'];
export type User = Schemas['User'];
export type UserSecret = Schemas['UserSecret'];
