"use client";

import { useState, type FormEvent } from "react";

import { authClient } from "@/lib/auth-client";
import { tellWindows, useSession } from "@/lib/session";

/** `address` is the one under which Better Auth knows this page. */
export function SignIn({ address }: { address?: string }) {
  const [isNew, setNew] = useState(true);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  useSession("");

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (busy) return;
    const form = new FormData(event.currentTarget);
    const field = (name: string) => String(form.get(name));
    const account = { email: field("email"), password: field("password") };
    setBusy(true);
    setTrouble("");
    const signing = isNew
      ? authClient.signUp.email({ ...account, name: field("name") })
      : authClient.signIn.email(account);
    const away = { data: null, error: { code: "", message: "The server can't be reached." } };
    const { data, error } = await signing.catch(() => away);
    if (!error) return tellWindows(data.user.id);
    setBusy(false);
    if (error.code === "INVALID_ORIGIN" && address) setTrouble(`To sign in, open this page as ${address}.`);
    else setTrouble(error.message ?? "That can't be done just now.");
  }

  return (
    <main className="sign-in">
      <h1>Tasks</h1>
      <p>What there is to do, on every screen at once.</p>
      <form method="post" onSubmit={submit}>
        {isNew && (
          <label>
            Name
            <input name="name" autoComplete="name" required />
          </label>
        )}
        <label>
          E-mail
          <input name="email" type="email" autoComplete="email" required />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autoComplete={isNew ? "new-password" : "current-password"}
            minLength={8}
            required
          />
        </label>
        <button className="primary" aria-disabled={busy}>
          {isNew ? "Sign up" : "Sign in"}
        </button>
        {trouble && <p role="alert">{trouble}</p>}
      </form>
      <button
        onClick={() => {
          setNew(!isNew);
          setTrouble("");
        }}
      >
        {isNew ? "I have an account" : "I am new here"}
      </button>
    </main>
  );
}
