"""How the API tells of modules, and is asked to go over to changed ones."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

ModuleName = Annotated[str, Meta(max_length=64)]


class ModuleRow(Struct):
    """A module: the package it comes from, what it adds, and what is wrong with it now (empty: nothing)."""

    name: str
    summary: str
    version: str
    package: str
    package_version: str
    variables: list[str]
    mutations: list[str]
    discoveries: list[str]
    duties: list[str]
    actions: list[str]
    protects: list[str]
    services: int
    settings: list[str]
    degraded: str


class ModuleDetail(ModuleRow, kw_only=True):
    """A module with its page of the reference, in Markdown."""

    reference: str


class ReloadRequest(Struct, forbid_unknown_fields=True):
    """``names`` are imported anew even where their code has not changed."""

    names: Annotated[list[ModuleName], Meta(max_length=1000)] = []


class Reloaded(Struct):
    """What is otherwise now. ``passed_on`` are the sub-masters that are told to do the same."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    passed_on: list[str] = []
