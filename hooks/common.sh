# What br3's hooks have in common; POSIX sh, sourced by each of them after it has set br3_hook and br3_home.
#
# Hot paths start no process that they can do without: where things are is read from git's own files, settings from a
# file of KEY=VALUE lines, and an event is one appended line. The settings are read, not sourced, so that nothing in
# them can be run and a damaged file is noticed.

br3_locale=${LC_ALL-} # for what runs the user's commands
LC_ALL=C
br3_journal=$br3_home/../journal/hooks.jsonl

br3_say() { printf 'br3: %s\n' "$*" >&2; }

# For what guards: nothing passes that could not be looked at.
br3_refuse() {
    br3_say "$@"
    exit 1
}

# br3_event KIND SEVERITY: append one event, with the fields that br3_with has gathered. Below 4 KB, in one write.
br3_event() {
    br3_now=$(date -u +%Y-%m-%dT%H:%M:%S.000000Z 2>/dev/null)
    { [ -n "$br3_now" ] && printf '\n{"ts":"%s","kind":"%s","severity":"%s",%s"pid":%s,"data":{"hook":"%s"%s}}\n' \
        "$br3_now" "$1" "$2" \
        "${br3_run:+\"run\":\"$br3_run\",}${br3_build:+\"build\":\"$br3_build\",}${br3_task:+\"task\":\"$br3_task\",}" \
        "$$" "$br3_hook" "$br3_fields"
    } 2>/dev/null >>"$br3_journal" || br3_say "$br3_hook could not be recorded in $br3_journal; nothing else is affected"
    br3_fields=
}
br3_fields=

# br3_with NAME TEXT: a field of the next event. Text that JSON would have to escape goes as hexadecimal digits.
br3_with() {
    case $2 in
    '') ;;
    *[!A-Za-z0-9/_.@+,%=:\ -]*) br3_fields="$br3_fields,\"${1}_hex\":\"$(printf %s "$2" | od -An -v -tx1 | tr -d ' \n')\"" ;;
    *) br3_fields="$br3_fields,\"$1\":\"$2\"" ;;
    esac
}

# Sets br3_git_dir: that of this worktree. git exports GIT_DIR in linked worktrees only, and not to post-checkout there.
br3_find_git_dir() {
    br3_git_dir=${GIT_DIR-}
    [ -n "$br3_git_dir" ] || br3_git_dir=.git
    if [ -f "$br3_git_dir" ]; then
        IFS= read -r br3_git_dir <"$br3_git_dir"
        br3_git_dir=${br3_git_dir#gitdir: }
    fi
    [ -d "$br3_git_dir" ] || br3_git_dir=$(git rev-parse --git-dir)
}

# Sets br3_branch: the branch being committed to, also while it is rebased; empty when HEAD is detached.
br3_find_branch() {
    br3_branch= br3_head=
    IFS= read -r br3_head <"$br3_git_dir/HEAD"
    case $br3_head in
    'ref: refs/heads/.invalid') br3_branch=$(git symbolic-ref --quiet HEAD) ;; # another ref storage: HEAD is a stub
    'ref: '*) br3_branch=${br3_head#ref: } ;;
    *)
        for br3_file in "$br3_git_dir/rebase-merge/head-name" "$br3_git_dir/rebase-apply/head-name"; do
            [ -f "$br3_file" ] && IFS= read -r br3_branch <"$br3_file"
        done
        ;;
    esac
    case $br3_branch in
    refs/heads/*) br3_branch=${br3_branch#refs/heads/} ;;
    *) br3_branch= ;;
    esac
}

# Sets br3_commit: the commit that HEAD is at.
br3_find_commit() {
    br3_commit=$br3_head
    case $br3_head in
    'ref: '*)
        br3_commit=
        [ -f "$br3_home/../../${br3_head#ref: }" ] && IFS= read -r br3_commit <"$br3_home/../../${br3_head#ref: }"
        ;;
    esac
    case $br3_commit in
    '' | *[!0-9a-f]*) br3_commit=$(git rev-parse --verify --quiet HEAD) ;;
    esac
}

# Sets br3_run, br3_build, br3_task, when this is the worktree of a build. The task is known to what its agent starts.
br3_find_build() {
    br3_run= br3_build= br3_task=
    [ -f "$br3_git_dir/br3-build" ] || return 0
    while IFS= read -r br3_line; do
        case $br3_line in
        run=*) br3_run=${br3_line#run=} ;;
        build=*) br3_build=${br3_line#build=} ;;
        esac
    done <"$br3_git_dir/br3-build"
    if [ "${BR3_BUILD-}" = "$br3_build" ] && [ "${BR3_RUN-}" = "$br3_run" ]; then br3_task=${BR3_TASK-}; fi
    case $br3_run$br3_build$br3_task in
    *[!A-Za-z0-9._-]*) br3_run= br3_build= br3_task= ;;
    esac
}

# Sets br3_name: the name git has given to this linked worktree; empty in the main one.
br3_find_worktree() {
    br3_name=
    [ ! -f "$br3_git_dir/commondir" ] || br3_name=${br3_git_dir##*/}
}

# Reads what `br3 hooks install` and `br3 trust` have compiled. br3_protected is the pattern that br3_branch meets.
br3_read_settings() {
    br3_settings=damaged
    br3_protected= br3_pythons= br3_check= br3_entry= br3_program= br3_max_bytes=0 br3_required=0
    br3_commit_msg= br3_setup=0 br3_owners=
    [ -f "$br3_home/settings" ] || return 0
    br3_first=
    while IFS= read -r br3_line; do
        br3_value=${br3_line#*=}
        case $br3_line in
        'br3-settings=1') br3_first=1 ;;
        'protect='*)
            # shellcheck disable=SC2254 # it is a pattern
            case ${br3_branch-} in $br3_value) br3_protected=$br3_value ;; esac
            ;;
        'python='*) br3_pythons="$br3_pythons$br3_value
" ;;
        'check='*) br3_check=$br3_value ;;
        'entry='*) br3_entry=$br3_value ;;
        'program='*) br3_program=$br3_value ;;
        'max_bytes='*) br3_max_bytes=$br3_value ;;
        'required='*) br3_required=$br3_value ;;
        'commit_msg='*) br3_commit_msg=$br3_value ;;
        'setup='*) br3_setup=$br3_value ;;
        'owner='*) br3_owners="$br3_owners $br3_value " ;;
        'end=1') br3_settings=${br3_first:+whole} ;;
        esac
    done <"$br3_home/settings"
    [ -n "$br3_settings" ] || br3_settings=damaged
}

# For hooks that guard: whatever they rest on must be there.
br3_need_settings() {
    br3_read_settings
    [ "$br3_settings" = whole ] ||
        br3_refuse "$br3_hook: the settings in $br3_home/settings are damaged, so nothing passes. Mend: br3 hooks install"
}

# br3_skips RULE: whether BR3_SKIP lets it pass this time.
br3_skips() {
    case " ${BR3_SKIP-} " in
    *[\ ,]"$1"[\ ,]*) return 0 ;;
    esac
    return 1
}

# Refuse when the branch is protected.
br3_guard_branch() {
    [ -n "$br3_protected" ] || return 0
    br3_find_build
    br3_with rule protected-branch
    br3_with branch "$br3_branch"
    if br3_skips protected-branch; then
        br3_with use skip
        br3_event hook.allowed warning
        return 0
    fi
    br3_event hook.blocked warning
    br3_say "$br3_hook: $br3_branch is protected ([hooks] protect); nothing was committed"
    br3_say "next: git switch -c NAME, commit there; br3 merge lands it. This once all the same: BR3_SKIP=protected-branch; it is recorded"
    exit 1
}

# br3_add_trailers FILE: say in the message which build it belongs to, once.
br3_add_trailers() {
    # Git's own message of a merge ends without a line break, and what an editor leaves may: trailers would join the line.
    [ -z "$(tail -c 1 "$1")" ] || printf '\n' >>"$1"
    git interpret-trailers --in-place --no-divider --if-exists doNothing ${br3_run:+--trailer "Br3-Run: $br3_run"} \
        --trailer "Br3-Build: $br3_build" ${br3_task:+--trailer "Br3-Task: $br3_task"} "$1" ||
        br3_say "$br3_hook: the message did not get its trailers; nothing else is affected"
}

case ${BR3_HOOKS-} in
own) exit 0 ;; # br3's own git commands
0)
    br3_find_git_dir
    br3_find_build
    br3_event hook.off warning
    exit 0
    ;;
esac
br3_find_git_dir
